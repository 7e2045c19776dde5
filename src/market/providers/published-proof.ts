import * as z from "zod";
import { groth16Evidence } from "../../receipts/proof-schema.ts";
import type { PublishedProof } from "../types.ts";

const { key, proof, signals } = groth16Evidence.shape;
const answerSchema = z.discriminatedUnion("state", [
  z.object({ state: z.literal("pending") }),
  z.object({ state: z.literal("proved"), key, proof, signals }),
  z.object({ state: z.literal("failed") }),
]);

/** A node's answer about a proof, or null where it is malformed. */
export function readProofAnswer(value: unknown): PublishedProof | null {
  const parsed = answerSchema.safeParse(value);
  if (!parsed.success) return null;
  if (parsed.data.state !== "proved") return { state: parsed.data.state };
  const { state, ...rest } = parsed.data;
  return { state, evidence: { kind: "zk.groth16", ...rest } };
}
