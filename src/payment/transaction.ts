import type { PublicClient, TransactionReceipt } from "viem";

/** Who pays for a transaction, in which order and at most how much. Fees in wei. */
export type TransactionFees = {
  chainId: number;
  nonce: number;
  gas: bigint;
  maxFeePerGas: bigint;
  maxPriorityFeePerGas: bigint;
};

/** Where a call goes and what it says; it moves no coin. */
export type Call = { to: `0x${string}`; data: `0x${string}` };

/** The unsigned EIP-1559 transaction of a call. */
export const callTransaction = ({ to, data }: Call, fees: TransactionFees) =>
  ({ type: "eip1559", to, data, value: 0n, ...fees }) as const;

/**
 * Has a call signed with the fees of the moment, sends it and waits until it is in a block. Throws what `failed` makes of
 * a chain that turns it down.
 */
export async function sendCall(
  client: PublicClient,
  options: {
    from: `0x${string}`;
    call: Call;
    sign: (fees: TransactionFees) => Promise<`0x${string}`>;
    failed: (cause: unknown) => Error;
  },
): Promise<TransactionReceipt> {
  const { from, call, sign, failed } = options;
  const refuse = (error: unknown): never => {
    throw failed(error);
  };
  const [chainId, nonce, { maxFeePerGas, maxPriorityFeePerGas }, gas] = await Promise.all([
    client.getChainId(),
    client.getTransactionCount({ address: from, blockTag: "pending" }),
    client.estimateFeesPerGas(),
    client.estimateGas({ account: from, ...call }).catch(refuse),
  ]);
  const serializedTransaction = await sign({
    chainId,
    nonce,
    gas: (gas * 6n) / 5n,
    maxFeePerGas,
    maxPriorityFeePerGas,
  });
  const hash = await client.sendRawTransaction({ serializedTransaction }).catch(refuse);
  const receipt = await client.waitForTransactionReceipt({ hash });
  return receipt.status === "success" ? receipt : refuse(null);
}
