import { constants } from "node:fs";
import { open } from "node:fs/promises";
import type { Readable } from "node:stream";
import { Proof402Error } from "../errors.ts";
import { MAX_FILE_BYTES } from "../receipts/budget.ts";
import { parseReceipt } from "../receipts/receipt.ts";
import type { Receipt } from "../receipts/schema.ts";

/** One byte more than `parseReceipt` takes, so that it names the fault of a longer file. */
const READ_AT_MOST = MAX_FILE_BYTES + 1;

/** Reads a receipt file, or standard input for `-`. Throws Proof402Error `receipt_unreadable` or one of `parseReceipt`'s codes. */
export const readReceiptFile = async (path: string): Promise<Receipt> => receiptOf(await readBounded(path));

/** The receipt of a file's bytes. Throws Proof402Error with one of `parseReceipt`'s codes. */
export function receiptOf(bytes: Uint8Array): Receipt {
  const parsed = parseReceipt(bytes);
  if (parsed.ok) return parsed.receipt;
  throw new Proof402Error(parsed.code, parsed.message, {
    next: "Get the receipt again from where it was made; this file cannot be trusted.",
  });
}

/** At most one byte more of a file than a receipt may have, or `most`, and a piece. Throws Proof402Error `receipt_unreadable`. */
export async function readBounded(path: string, most = READ_AT_MOST): Promise<Uint8Array> {
  try {
    const chunks: Buffer[] = [];
    let length = 0;
    for await (const chunk of path === "-" ? process.stdin : await openFile(path)) {
      chunks.push(chunk as Buffer);
      length += (chunk as Buffer).length;
      if (length >= most) break;
    }
    return Buffer.concat(chunks);
  } catch (error) {
    if (Proof402Error.isInstance(error)) throw error;
    throw new Proof402Error("receipt_unreadable", `${path} could not be read.`, {
      next: "Check the path.",
      cause: error,
    });
  }
}

/** Opens a regular file and nothing that may never end. */
async function openFile(path: string): Promise<Readable> {
  // Without this flag, opening a pipe waits for a writer.
  const handle = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
  if ((await handle.stat()).isFile()) return handle.createReadStream();
  await handle.close();
  throw new Proof402Error("receipt_unreadable", `${path} is a folder, pipe or device, and not a file.`, {
    next: "Save the receipt as a file, or hand it to standard input and name it -.",
  });
}
