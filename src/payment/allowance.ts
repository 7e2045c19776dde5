import { concatBytes, fromHex, toHex0x, uint256 } from "../evidence/bytes.ts";
import { addressWord } from "../evidence/eip3009.ts";
import { PERMIT2 } from "../evidence/permit2.ts";
import { Proof402Error } from "../errors.ts";
import { formatUnits } from "./amounts.ts";
import type { Chain } from "./chain.ts";
import type { AssetPolicy } from "./policy.ts";
import { sendCall, type Call } from "./transaction.ts";
import type { Wallet } from "./wallet.ts";

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

const hex = (address: string): `0x${string}` => `0x${address.slice(2)}`;

/** What a wallet holds of an asset and lets Permit2 move, base units. Throws Proof402Error `wrong_chain` or `chain_unreachable`. */
export const readHoldings = (
  chain: Chain,
  asset: string,
  owner: string,
): Promise<{ balance: bigint; allowance: bigint }> =>
  chain.read(async (client) => {
    const token = { address: hex(asset), abi: ERC20 } as const;
    const [balance, allowance] = await Promise.all([
      client.readContract({ ...token, functionName: "balanceOf", args: [hex(owner)] }),
      client.readContract({ ...token, functionName: "allowance", args: [hex(owner), PERMIT2] }),
    ]);
    return { balance, allowance };
  });

/** A call that does nothing but set Permit2's allowance, base units. */
export type Approval = { asset: string; amount: bigint };

/** The call of an approval. */
export const approvalCall = ({ asset, amount }: Approval): Call => ({ to: hex(asset), data: approveData(amount) });

/** `approve(address,uint256)` (ERC-20): selector, then two words. */
const approveData = (amount: bigint): `0x${string}` =>
  toHex0x(concatBytes(fromHex("095ea7b3"), addressWord(PERMIT2), uint256(amount)));

/**
 * Lets Permit2 move exactly `amount` of an asset from the wallet, in place of what it may move now: signs, sends and waits
 * for the one transaction. `0n` takes the allowance back.
 *
 * Throws Proof402Error `approval_too_wide` above the policy's total for the asset, `approval_failed` where the chain turned
 * it down or no gas can be paid, `wrong_chain` or `chain_unreachable`.
 */
export async function approvePermit2(options: {
  chain: Chain;
  wallet: Wallet;
  asset: AssetPolicy;
  amount: bigint;
}): Promise<{ transaction: string; gasUsed: bigint; allowance: bigint }> {
  const { chain, wallet, asset, amount } = options;
  if (amount > BigInt(asset.total)) {
    throw new Proof402Error(
      "approval_too_wide",
      `An allowance of ${formatUnits(amount.toString(), asset.decimals)} ${asset.symbol} is more than the policy's total for it.`,
      { next: `Approve at most ${formatUnits(asset.total, asset.decimals)}.`, details: { limit: asset.total } },
    );
  }
  const from = hex(wallet.address);
  return chain.read(async (client) => {
    const approval = { asset: asset.asset, amount };
    const receipt = await sendCall(client, {
      from,
      call: approvalCall(approval),
      sign: (fees) => wallet.signApproval(approval, fees),
      failed,
    });
    const { allowance } = await readHoldings(chain, asset.asset, wallet.address);
    return { transaction: receipt.transactionHash, gasUsed: receipt.gasUsed, allowance };
  });
}

const failed = (cause: unknown): Proof402Error =>
  new Proof402Error("approval_failed", "The chain did not take the approval.", {
    next: "Check that the wallet holds the chain's own coin for gas.",
    cause,
  });
