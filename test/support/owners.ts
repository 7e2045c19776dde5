import { onTestFinished } from "vitest";
import type { Hex } from "viem";
import { openBank, openValidationRegistry, startAnvil } from "../../src/devnet/index.ts";
import { Proof402Error } from "../../src/errors.ts";
import { keccak256, fromHex0x, toHex0x } from "../../src/evidence/bytes.ts";
import { approvePermit2, readHoldings } from "../../src/payment/allowance.ts";
import { openChain, type Chain } from "../../src/chain/chain.ts";
import { openChannel } from "../../src/payment/channel-owner.ts";
import type { Owner } from "../../src/chain/owner/send.ts";
import type { AssetPolicy } from "../../src/payment/policy.ts";
import { postValidation } from "../../src/chain/owner/validation.ts";
import { walletFromPrivateKey, type Wallet } from "../../src/payment/wallet.ts";
import { openDatabase, type Db } from "../../src/storage/database.ts";
import { rpcInFront, type Lie, type RpcCall } from "./rpc.ts";

export const NETWORK = "eip155:31337";
const FUNDS = 10_000_000n;
export const DEPOSIT = 500_000n;
export const SELLER = {
  id: "seller",
  payTo: [`0x${"5a".repeat(20)}`],
  channel: { receiverAuthorizer: `0x${"5b".repeat(20)}`, withdrawDelaySeconds: 900 },
} as const;

export type Liar = (call: RpcCall, honest: () => Promise<unknown>) => Lie | undefined | Promise<Lie | undefined>;

export const swallowing: Liar = ({ method }) =>
  method === "eth_sendRawTransaction" ? { result: `0x${"ab".repeat(32)}` } : undefined;
export const only =
  (wanted: string, lie: Lie): Liar =>
  ({ method }) =>
    method === wanted ? lie : undefined;

export const errorOf = async (work: Promise<unknown>): Promise<Proof402Error> => {
  const error = await work.then(
    () => null,
    (caught: unknown) => caught,
  );
  if (Proof402Error.isInstance(error)) return error;
  throw new Error("it should have been refused");
};

/** A chain with a token and a registry, and owners on it. */
export async function openOwners() {
  const anvil = await startAnvil();
  const bank = await openBank(anvil);
  const registry = await openValidationRegistry(anvil, bank);
  const { address, symbol, decimals, name, version } = bank.token;
  const limit = FUNDS.toString();
  const asset: AssetPolicy = {
    network: NETWORK,
    asset: address,
    symbol,
    decimals,
    usdStable: true,
    domain: { name, version },
    methods: ["voucher", "permit2"],
    perCall: limit,
    perHour: limit,
    perDay: limit,
    total: limit,
  };
  const chainAt = (rpcUrl: string): Chain =>
    openChain({ network: NETWORK, rpcUrl, confirmations: 0, pollMilliseconds: 20 });
  const real = chainAt(anvil.rpcUrl);
  /** The chain's time. A test may have set its clock forward: the owner's goes with it. */
  const chainNow = async (): Promise<Date> => new Date(Number((await bank.client.getBlock()).timestamp) * 1000);

  /** A funded wallet behind an RPC that may lie, and every kind of transaction that its owner can have made. */
  async function openOwner(options: { lie?: Liar; db?: Db; wallet?: Wallet; key?: Hex } = {}) {
    const wallet = options.wallet ?? walletFromPrivateKey(options.key ?? (await bank.fundedKey()));
    if (options.wallet === undefined) await bank.token.mint(wallet.address, FUNDS);
    const db = options.db ?? (await openDatabase(":memory:"));
    if (options.db === undefined) onTestFinished(() => db.destroy());
    let lie: Liar | undefined = options.lie;
    const rpc = await rpcInFront(anvil.rpcUrl, (call, honest) => lie?.(call, honest));
    const owner: Owner = { db, chain: chainAt(rpc.url), wallet, patienceMs: 300 };
    const word = (byte: string): Hex => `0x${byte.repeat(32)}`;
    const wishes = {
      approve: () => approvePermit2({ ...owner, asset, amount: 5_000_000n }),
      async deposit(more: { another?: boolean } = {}) {
        return openChannel({ ...owner, seller: SELLER, asset, amount: DEPOSIT, now: await chainNow(), ...more });
      },
      anchor: () =>
        postValidation(owner, {
          registry,
          agentId: 7n,
          uri: "urn:proof402:receipt:x",
          requestHash: toHex0x(keccak256(fromHex0x(wallet.address))),
          response: 100,
          responseHash: word("02"),
          tag: "t",
        }),
    };
    return {
      wallet,
      db,
      owner,
      wishes,
      lieNow: (next: Liar | undefined) => void (lie = next),
      /** The transactions that left for the RPC, each once. */
      raws: (): Hex[] => [
        ...new Set(
          rpc.calls.filter(({ method }) => method === "eth_sendRawTransaction").map(({ params }) => params[0] as Hex),
        ),
      ],
      /** How many transactions of the account are in blocks. */
      mined: () => bank.client.getTransactionCount({ address: wallet.address }),
      left: async () => FUNDS - (await readHoldings(real, asset.asset, wallet.address)).balance,
      allowance: async () => (await readHoldings(real, asset.asset, wallet.address)).allowance,
      rows: () => db.selectFrom("owner_transactions").selectAll().orderBy("created_at").execute(),
    };
  }
  return { anvil, bank, asset, real, chainNow, openOwner };
}
