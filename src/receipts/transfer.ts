import { formatOf } from "../evidence/exchange/formats.ts";
import { bytesOf } from "../evidence/body.ts";
import type { ReceiptCore } from "./schema.ts";
import type { TransferEvidence } from "./transfer-schema.ts";

/** How the answer came, where it did not come whole and plain. */
export const transferOf = ({ evidence }: ReceiptCore): TransferEvidence | undefined =>
  evidence.find((one): one is TransferEvidence => one.kind === "transfer.http");

/** The receipt holds the beginning of an answer only. */
export const isCut = (core: ReceiptCore): boolean => (transferOf(core)?.cut ?? null) !== null;

/**
 * The answer came in a content coding that was not asked for and cannot be decoded, so its bytes are no answer. Bytes
 * readable without decoding had no coding, even if the seller named one.
 */
export function isUndecoded(core: ReceiptCore): boolean {
  const { cut, coding } = transferOf(core) ?? { cut: null, coding: null };
  if (cut !== null || coding?.decoded !== false) return false;
  const { body } = core.response;
  return body === undefined || formatOf(core.seller.provider)?.readAnswer(bytesOf(body)).readable !== true;
}

/** The seller answered what it was asked. Any other status is its refusal or failure. */
export const isAnswer = ({ response }: ReceiptCore): boolean => response.status >= 200 && response.status <= 299;

/** SHA-256 of no bytes. */
export const SHA256_OF_NOTHING = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

/** The seller says that it answers, and nothing is in its answer: no format writes one so. */
export const isEmpty = (core: ReceiptCore): boolean =>
  isAnswer(core) && !isCut(core) && core.response.sha256 === SHA256_OF_NOTHING;

/** An answer came, all of it, and as the content that was asked for. What a seller owes and is granted rests on this alone. */
export const isServed = (core: ReceiptCore): boolean =>
  isAnswer(core) && !isCut(core) && !isUndecoded(core) && !isEmpty(core);

/** The content coding that the answer's bytes were decoded from, or null where they came as they are. */
export function decodedFrom(core: ReceiptCore): string | null {
  const coding = transferOf(core)?.coding;
  return coding?.decoded === true ? coding.name : null;
}
