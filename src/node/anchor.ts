import { createPublicClient, createWalletClient, http, nonceManager, parseAbi, type Hex } from "viem";
import { privateKeyToAccount } from "viem/accounts";
import { chainIdOf } from "../evidence/eip3009.ts";
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

/**
 * Anchors batches from an account, which pays the gas. `key` is its private key, 0x hex. A batch counts as anchored when the
 * chain has it. Throws Proof402Error `private_key_invalid` or `wrong_chain`.
 */
export async function openAnchoring(settings: AnchorSettings, key: string): Promise<NodeAnchoring> {
  const { network, contract, rpcUrl, maxAnswers, maxWaitSeconds } = settings;
  if (!/^0x[0-9a-fA-F]{64}$/.test(key))
    throw new Proof402Error("private_key_invalid", "anchoring.keyFile holds no private key.", {
      next: "Give 0x followed by 64 hex digits in that file.",
    });
  const transport = http(rpcUrl);
  const reader = createPublicClient({ transport });
  const wallet = createWalletClient({ account: privateKeyToAccount(key as Hex, { nonceManager }), transport });
  const id = await reader.getChainId();
  if (id !== chainIdOf(network))
    throw new Proof402Error("wrong_chain", `The RPC of anchoring serves chain ${id}, and not ${network}.`, {
      next: "Correct anchoring.rpcUrl in the configuration.",
    });
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
      const { status } = await reader.waitForTransactionReceipt({ hash: sent, timeout: MINED_WITHIN_MS });
      if (status !== "success") throw new Error(`the relay turned transaction ${sent} down`);
      return sent;
    },
  };
}
