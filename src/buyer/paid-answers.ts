import { Proof402Error, type ErrorCode } from "../errors.ts";

/** How long an answer that its caller did not get is the answer to an equal call, ms. Clients send a failed request again. */
const KEPT_MS = 120_000;
const MOST_KEPT = 1000;

/** The errors about an answer that was paid for and told. */
const REFUSED: readonly ErrorCode[] = ["answer_not_verified", "malformed_answer", "answer_replaced"];

/**
 * A surface's memory of paid answers that were refused, or did not reach their caller. Its next equal call takes that
 * purchase's key: it pays nothing.
 */
export type PaidAnswers = {
  /** The key for a call of this digest, or undefined. */
  keyFor(digest: string | null): string | undefined;
  /** Keeps the call of an error about a paid answer. Any other error keeps nothing. */
  refused(digest: string | null, error: unknown): void;
  /** Keeps a call on its way to its caller. The result is called once it is there. */
  sending(digest: string, key: string): () => void;
};

/** A memory. It forgets what is two minutes old. */
export function createPaidAnswers(clock: () => Date): PaidAnswers {
  const kept = new Map<string, { key: string; until: number }>();
  const keep = (digest: string, key: string): { key: string; until: number } => {
    const entry = { key, until: clock().getTime() + KEPT_MS };
    kept.delete(digest);
    kept.set(digest, entry);
    const [oldest] = kept.keys();
    if (kept.size > MOST_KEPT && oldest !== undefined) kept.delete(oldest);
    return entry;
  };
  return {
    keyFor(digest) {
      const found = digest === null ? undefined : kept.get(digest);
      return found !== undefined && found.until > clock().getTime() ? found.key : undefined;
    },
    refused(digest, error) {
      if (digest === null || !Proof402Error.isInstance(error) || error.idempotencyKey === undefined) return;
      if (REFUSED.includes(error.code)) keep(digest, error.idempotencyKey);
    },
    sending(digest, key) {
      const entry = keep(digest, key);
      return () => {
        if (kept.get(digest) === entry) kept.delete(digest);
      };
    },
  };
}
