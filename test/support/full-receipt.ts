import { utf8 } from "../../src/evidence/bytes.ts";
import type { Evidence, Receipt } from "../../src/receipts/schema.ts";

/** What evidence may fill of a receipt file, without what its place in the log and its digest take. */
const FILLED_BYTES = 7_999_000;

const sizeOf = (receipt: Receipt): number => utf8(JSON.stringify(receipt, null, 2)).length;

/** A piece of a kind that this version does not know, which fills a receipt to the last byte, or `over` it. */
export function filling(receipt: Receipt, over = 0): Evidence {
  const at = receipt.core.response.receivedAt;
  const empty = { kind: "x.fill", text: "" };
  const rest = FILLED_BYTES - sizeOf({ ...receipt, later: [...receipt.later, { at, evidence: empty }] });
  return { ...empty, text: "a".repeat(rest + over) };
}

/** A file without appraisals that is filled to the last byte. */
export function filled(receipt: Receipt, over = 0): Receipt {
  const file = { ...receipt, appraisals: [] };
  const piece = { at: receipt.core.response.receivedAt, evidence: filling(file, over) };
  return { ...file, later: [...file.later, piece] };
}
