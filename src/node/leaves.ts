import * as z from "zod";
import { fromBase64, toHex0x } from "../evidence/bytes.ts";
import type { InclusionLeaf } from "../evidence/inclusion.ts";
import { TEE_HEADERS } from "../evidence/tee-signature.ts";
import { hex0x, hexData } from "../receipts/fields.ts";
import type { KeptAnswer } from "./paid-calls.ts";

const bytes = hexData.refine((hex) => hex !== "0x", "not empty");

/** A leaf as a node keeps it. One that this refuses could be in no tree. */
export const leafSchema = z.object({
  teeId: hex0x(32),
  inputHash: hex0x(32),
  outputHash: hex0x(32),
  signature: bytes,
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
export const sealedSchema = z.object({ leaves: z.array(leafSchema).min(1), transaction: bytes.nullable() });
