import { createHash } from "node:crypto";
import { bytesOf } from "../evidence/body.ts";
import type { AnswerPart, PartsReader } from "../evidence/exchange/format.ts";
import { formatOf } from "../evidence/exchange/formats.ts";
import type { HttpRequest } from "../http/client.ts";
import type { Receipt } from "../receipts/schema.ts";
import { tell } from "./tell.ts";
import type { BuyOptions } from "./types.ts";

/** Tells a call's listener the pieces of its answer. */
export type PartsTeller = {
  /** Listeners to the answer of one paid request to a seller of this kind. */
  hear(provider: string): Heard;
  /** Tells of the call's answer what was not told as it came. */
  tellRest(receipt: Receipt): void;
};

type Heard = { [Name in "onHead" | "onBody"]: NonNullable<HttpRequest[Name]> };

/** A teller for one call. It tells a caller that gave up nothing more. */
export function createPartsTeller({ onAnswerPart, signal }: BuyOptions): PartsTeller {
  let isTold = false;
  let hearing: { reader: PartsReader; digest: ReturnType<typeof createHash> } | null = null;

  const give = (part: AnswerPart & { restart?: true }): void => {
    if (onAnswerPart === undefined || signal?.aborted === true) return;
    isTold = true;
    tell(onAnswerPart, { ...part, unverified: true as const });
  };
  const readerFor = (provider: string): PartsReader | null =>
    onAnswerPart === undefined ? null : (formatOf(provider)?.readParts?.() ?? null);

  return {
    hear: (provider) => ({
      onHead({ status }) {
        // A failure's text is no piece of an answer.
        const reader = status >= 200 && status <= 299 ? readerFor(provider) : null;
        hearing = reader === null ? null : { reader, digest: createHash("sha256") };
        if (isTold) give({ restart: true });
      },
      onBody(chunk) {
        if (hearing === null) return;
        hearing.digest.update(chunk);
        for (const part of hearing.reader.push(chunk)) give(part);
      },
    }),

    tellRest({ core: { seller, response } }) {
      const reader = readerFor(seller.provider);
      if (reader === null || response.body === undefined) return;
      if (hearing?.digest.digest("hex") === response.sha256) {
        for (const part of hearing.reader.end()) give(part);
        return;
      }
      // Another process stored the call's answer, or it was coded.
      if (isTold) give({ restart: true });
      for (const part of [...reader.push(bytesOf(response.body)), ...reader.end()]) give(part);
    },
  };
}
