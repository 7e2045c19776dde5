import type { Hex } from "viem";
import { privateKeyToAccount } from "viem/accounts";
import { lowered, type Address } from "../../src/evidence/bytes.ts";
import { CHANNELS } from "../../src/evidence/channel.ts";
import { WITHDRAW_DELAY_SECONDS } from "../../src/node/index.ts";
import { openChain } from "../../src/chain/chain.ts";
import { closeChannel, openChannel } from "../../src/payment/channel-owner.ts";
import { walletFromPrivateKey } from "../../src/payment/wallet.ts";
import { openDatabase } from "../../src/storage/database.ts";
import type { Market } from "./devnet.ts";
import { offersOf } from "./selling.ts";

const DEPOSIT = 1_000_000n;

/** A payer with all its money in a channel, and vouchers of it. */
export type VoucherPayer = {
  channelId: Hex;
  /** A payment of so much in all, as its header. */
  voucher(origin: string, sum: bigint): Promise<string>;
  /** Asks the chain for what is left, and takes it where the delay is over: what became of the channel. */
  withdraw(): Promise<string>;
  /** What the payer holds outside the channel, base units. */
  holds(): Promise<bigint>;
};

/** Opens a channel to a payee whose claims the key authorizes. */
export async function openVoucherPayer(
  market: Market,
  { payTo, authorizerKey }: { payTo: Address; authorizerKey: Hex },
): Promise<VoucherPayer> {
  const { devnet } = market;
  const key = await devnet.bank.fundedKey();
  const payer = privateKeyToAccount(key);
  await devnet.bank.token.mint(payer.address, DEPOSIT);
  const config = market.config();
  const [network] = config.networks;
  const [asset] = config.payment.assets;
  if (network === undefined || asset === undefined) throw new Error("the devnet has them");
  const receiverAuthorizer = lowered(privateKeyToAccount(authorizerKey).address);
  const seller = {
    id: "shop",
    payTo: [lowered(payTo)],
    channel: { receiverAuthorizer, withdrawDelaySeconds: WITHDRAW_DELAY_SECONDS },
  };
  const db = await openDatabase(":memory:");
  const chain = openChain(network);
  const owner = { db, chain, wallet: walletFromPrivateKey(key) };
  // By the chain's clock, which other tests of its market may have put on.
  const { timestamp } = await chain.read((client) => client.getBlock());
  const now = new Date(Number(timestamp) * 1000);
  const { channel } = await openChannel({ ...owner, seller, asset, amount: DEPOSIT, now });
  const terms = JSON.parse(channel.terms) as object;
  const channelConfig = { payer: channel.payer, receiver: channel.receiver, token: channel.asset, ...terms };
  const channelId = channel.id as Hex;
  return {
    channelId,
    async voucher(origin, sum) {
      const accepted = (await offersOf(origin)).find(({ scheme }) => scheme === "batch-settlement");
      const signature = await payer.signTypedData({
        domain: { name: "x402 Batch Settlement", version: "1", chainId: devnet.chainId, verifyingContract: CHANNELS },
        types: {
          Voucher: [
            { name: "channelId", type: "bytes32" },
            { name: "maxClaimableAmount", type: "uint128" },
          ],
        },
        primaryType: "Voucher",
        message: { channelId, maxClaimableAmount: sum },
      });
      const voucher = { channelId, maxClaimableAmount: String(sum), signature };
      const payload = { x402Version: 2, accepted, payload: { type: "voucher", channelConfig, voucher } };
      return Buffer.from(JSON.stringify(payload)).toString("base64");
    },
    withdraw: async () => (await closeChannel({ ...owner, id: channel.id })).state,
    holds: () => devnet.balanceOf(payer.address),
  };
}
