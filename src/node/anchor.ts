import { createWalletClient, http, nonceManager, parseAbi, publicActions, type Hex } from "viem";
import { privateKeyToAccount } from "viem/accounts";
import { requireChainId } from "../chain/chain-id.ts";
import { openClient } from "../chain/client.ts";
import { Proof402Error } from "../errors.ts";
import type { NodeAnchoring } from "./batches.ts";

/** Where a node's runner has its answers anchored, and how often. */
export type AnchorSettings = {
  network: string;
  /** The relay contract. */
  contract: Hex;
  rpcUrl: string;
  maxAnswers?: number | undefined;
  maxWaitSeconds?: number | undefined;
};

/** The relay's call (OpenGradient's InferenceSettlementRelay): root, number of leaves, and the place of the leaves, which the node serves. */
const RELAY = parseAbi(["function batchSettle(bytes32 merkleRoot, uint256 batchSize, bytes walrusBlobId)"]);
/** A transaction that is in no block by then is sent again. */
const MINED_WITHIN_MS = 180_000;
const TIMEOUT_MS = 5_000;

/**
 * Anchors batches from an account, which pays the gas. `key` is its private key, 0x hex. A batch counts as anchored when the
 * chain has it. Throws Proof402Error `private_key_invalid`, `wrong_chain` or
 * `chain_unreachable`.
 */
export async function openAnchoring(settings: AnchorSettings, key: string): Promise<NodeAnchoring> {
  const { network, contract, rpcUrl, maxAnswers, maxWaitSeconds } = settings;
  if (!/^0x[0-9a-fA-F]{64}$/.test(key))
    throw new Proof402Error("private_key_invalid", "anchoring.keyFile holds no private key.", {
      next: "Give 0x followed by 64 hex digits in that file.",
    });
  await requireChain(settings);
  const account = privateKeyToAccount(key as Hex, { nonceManager });
  const wallet = createWalletClient({ account, transport: http(rpcUrl) }).extend(publicActions);
  return {
    relay: { network, contract },
    maxLeaves: maxAnswers,
    maxWaitMilliseconds: maxWaitSeconds === undefined ? undefined : maxWaitSeconds * 1000,
    async anchor({ root, count }) {
      const sent = await wallet.writeContract({
        chain: null,
        address: contract,
        abi: RELAY,
        functionName: "batchSettle",
        args: [root, BigInt(count), "0x"],
      });
      const { status } = await wallet.waitForTransactionReceipt({ hash: sent, timeout: MINED_WITHIN_MS });
      if (status !== "success") throw new Error(`the relay turned transaction ${sent} down`);
      return sent;
    },
  };
}

async function requireChain({ network, rpcUrl }: AnchorSettings): Promise<void> {
  try {
    await requireChainId(await openClient({ url: rpcUrl, timeoutMs: TIMEOUT_MS, retries: 0 }), network);
  } catch (error) {
    if (Proof402Error.isInstance(error)) throw error;
    throw new Proof402Error("chain_unreachable", `The RPC of anchoring on ${network} gave no usable answer.`, {
      next: "Correct anchoring.rpcUrl, or start the node again when it answers.",
      cause: error,
    });
  }
}
