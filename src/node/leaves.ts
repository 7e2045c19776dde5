import * as z from "zod";
import { fromBase64, lowered, toHex0x } from "../evidence/bytes.ts";
import type { InclusionLeaf } from "../evidence/inclusion.ts";
import { TEE_HEADERS } from "../evidence/tee-signature.ts";
import type { KeptAnswer } from "./paid-calls.ts";

const hexSchema = z
  .string()
  .regex(/^0x(?:[0-9a-f]{2})+$/)
  .transform((text) => lowered(`0x${text.slice(2)}`));
const word = hexSchema.refine((hex) => hex.length === 66);

/** A leaf as a node keeps it. One that this refuses could be in no tree. */
export const leafSchema = z.object({
  teeId: word,
  inputHash: word,
  outputHash: word,
  signature: hexSchema,
  timestamp: z.int().min(0),
});

/** An answer's leaf, of the headers that were signed: the node may have another key by now. Null if it was not signed. */
export function leafOf({ headers }: KeptAnswer): InclusionLeaf | null {
  const of = (name: string): string => headers[name] ?? "";
  const leaf = leafSchema.safeParse({
    teeId: of(TEE_HEADERS.teeId),
    inputHash: `0x${of(TEE_HEADERS.requestHash)}`,
    outputHash: `0x${of(TEE_HEADERS.outputHash)}`,
    signature: toHex0x(fromBase64(of(TEE_HEADERS.signature))),
    timestamp: Number(of(TEE_HEADERS.timestamp)),
  });
  return leaf.success ? leaf.data : null;
}

/** A batch as a node keeps it. */
export const sealedSchema = z.object({ leaves: z.array(leafSchema).min(1), transaction: hexSchema.nullable() });
