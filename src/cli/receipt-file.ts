import { createReadStream } from "node:fs";
import { Proof402Error } from "../errors.ts";
import { parseReceipt } from "../receipts/receipt.ts";
import type { Receipt } from "../receipts/schema.ts";

/** One byte more than `parseReceipt` takes, so that it says what is wrong with a longer file. */
const READ_AT_MOST = 8_000_001;

/** Reads a receipt file, or standard input for `-`. Throws Proof402Error `receipt_unreadable` or one of `parseReceipt`'s codes. */
export async function readReceiptFile(path: string): Promise<Receipt> {
  const parsed = parseReceipt(await readBounded(path));
  if (parsed.ok) return parsed.receipt;
  throw new Proof402Error(parsed.code, parsed.message, {
    next: "Get the receipt again from where it was made; this file cannot be trusted.",
  });
}

async function readBounded(path: string): Promise<Uint8Array> {
  try {
    const chunks: Buffer[] = [];
    let length = 0;
    // Devices and pipes without an end are read no further either.
    for await (const chunk of path === "-" ? process.stdin : createReadStream(path)) {
      chunks.push(chunk as Buffer);
      length += (chunk as Buffer).length;
      if (length >= READ_AT_MOST) break;
    }
    return Buffer.concat(chunks);
  } catch (error) {
    throw new Proof402Error("receipt_unreadable", `${path} could not be read.`, {
      next: "Check the path.",
      cause: error,
    });
  }
}
