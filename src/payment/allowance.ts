import { moneyText } from "../chain/money-text.ts";
import { PERMIT2 } from "../evidence/permit2.ts";
import { Proof402Error } from "../errors.ts";
import type { Chain, LookLimits } from "../chain/chain.ts";
import { earlierFor, sendOwnerCall, takeUp, type Owner, type Sent } from "../chain/owner/send.ts";
import { noteTold, subjectOf } from "../chain/owner/transactions.ts";
import type { AssetPolicy } from "./policy.ts";
import type { Address } from "../evidence/bytes.ts";

/** ERC-20's balance and allowance. */
const ERC20 = [
  {
    type: "function",
    name: "balanceOf",
    stateMutability: "view",
    inputs: [{ name: "owner", type: "address" }],
    outputs: [{ name: "", type: "uint256" }],
  },
  {
    type: "function",
    name: "allowance",
    stateMutability: "view",
    inputs: [
      { name: "owner", type: "address" },
      { name: "spender", type: "address" },
    ],
    outputs: [{ name: "", type: "uint256" }],
  },
] as const;

/**
 * What a wallet holds of an asset and lets Permit2 move, base units, at a block or the newest. Throws Proof402Error
 * `wrong_chain` or `chain_unreachable`.
 */
export const readHoldings = (
  chain: Chain,
  asset: Address,
  owner: Address,
  { block, ...limits }: LookLimits & { block?: bigint } = {},
): Promise<{ balance: bigint; allowance: bigint }> =>
  chain.read(async (client) => {
    const token = { address: asset, abi: ERC20 } as const;
    const [balance, allowance] = await Promise.all([
      client.readContract({ ...token, functionName: "balanceOf", args: [owner] }, block),
      client.readContract({ ...token, functionName: "allowance", args: [owner, PERMIT2] }, block),
    ]);
    return { balance, allowance };
  }, limits);

/**
 * Lets Permit2 move exactly `amount` of an asset from the wallet, in place of what it may move now, and waits for the one
 * transaction. `0n` takes the allowance back. Where it may move just that already, nothing is sent and `sent` is null.
 *
 * Throws Proof402Error `approval_too_wide` above the policy's total for the asset, and what
 * {@link sendOwnerCall} throws.
 */
export async function approvePermit2(
  owner: Owner & { asset: AssetPolicy; amount: bigint },
): Promise<{ sent: Sent | null; allowance: bigint }> {
  const { db, chain, wallet, asset, amount } = owner;
  if (amount > BigInt(asset.total)) {
    throw new Proof402Error(
      "approval_too_wide",
      `An allowance of ${moneyText(amount, asset)} is more than the policy's total for it.`,
      { next: `Approve at most ${moneyText(asset.total, asset)}.`, details: { limit: asset.total } },
    );
  }
  const call = { kind: "approve", asset: asset.asset, amount } as const;
  const earlier = await earlierFor(owner, call, await takeUp(owner, [subjectOf(call, chain.network)]));
  const before = await readHoldings(chain, asset.asset, wallet.address);
  if (earlier === null && before.allowance === amount) return { sent: null, allowance: amount };
  const sent = earlier ?? (await sendOwnerCall(owner, call));
  const { allowance } = earlier === null ? await readHoldings(chain, asset.asset, wallet.address) : before;
  await noteTold(db, sent.transaction);
  return { sent, allowance };
}
