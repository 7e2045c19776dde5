import { keyPoints, wordsOf, type Groth16Key } from "../../evidence/groth16.ts";
import type { Hex } from "../../evidence/bytes.ts";

/** Has a contract check a proof and keep an event of it. The contract reverts where the proof does not verify. */
export type ProofCall = {
  kind: "proof-record";
  contract: Hex;
  key: Groth16Key;
  proof: string;
  signals: string[];
};

const words = (name: string, type: string) => ({ name, type }) as const;
const ABI = [
  {
    type: "function",
    name: "record",
    stateMutability: "nonpayable",
    inputs: [words("key", "uint256[]"), words("proof", "uint256[8]"), words("signals", "uint256[]")],
    outputs: [],
  },
] as const;

/** The call of a verifier contract. */
export async function encodeProofRecord(call: ProofCall): Promise<{ to: Hex; data: Hex }> {
  const { encodeData } = await import("ox/AbiFunction");
  const args = [wordsOf(keyPoints(call.key)), wordsOf(call.proof), call.signals.map(BigInt)];
  return { to: call.contract, data: encodeData(ABI, "record", args as never) };
}
