import type { Context, MiddlewareHandler } from "hono";
import { concatBytes, sha256, toHex, utf8 } from "../evidence/bytes.ts";

/** How long an answer can be had again, ms: as long as a buyer may keep sending the authorization it paid with. */
const REMEMBERED_MS = 3_600_000;
const MAX_BYTES = 64_000_000;

type Answer = { status: 200; headers: Headers; body: ArrayBuffer };
type Remembered = { answer: Promise<Answer | null>; at: number; bytes: number };

/**
 * Gives the same answer for the same payment of the same request, and runs the model once for copies that come together.
 * A buyer whose connection or process broke after paying sends the very same authorization again: it has been settled by
 * then, so without this the money would be gone and the answer with it. Only settled answers (200) are kept, in memory.
 */
export function rememberAnswers(clock: () => number = Date.now): MiddlewareHandler {
  const kept = new Map<string, Remembered>();
  let bytes = 0;

  const forget = (key: string): void => {
    bytes -= kept.get(key)?.bytes ?? 0;
    kept.delete(key);
  };
  const makeRoom = (): void => {
    for (const [key, { at }] of kept) {
      if (bytes <= MAX_BYTES && clock() - at < REMEMBERED_MS) return;
      forget(key);
    }
  };

  return async (c, next) => {
    const payment = c.req.header("payment-signature");
    if (payment === undefined) return next();
    const key = await keyOf(c, payment);
    for (let known = kept.get(key); known !== undefined; known = kept.get(key)) {
      const answer = await known.answer;
      if (answer !== null) return new Response(answer.body, answer);
      if (kept.get(key) === known) forget(key);
    }
    let resolve: (answer: Answer | null) => void = () => undefined;
    const entry: Remembered = { answer: new Promise((give) => (resolve = give)), at: clock(), bytes: 0 };
    kept.set(key, entry);
    try {
      await next();
      const answer = await answerOf(c.res);
      resolve(answer);
      if (answer === null) return forget(key);
      entry.bytes = answer.body.byteLength;
      bytes += entry.bytes;
      makeRoom();
    } catch (error) {
      resolve(null);
      forget(key);
      throw error;
    }
  };
}

/** Payment, method, path and body together: the same payment with another request is another one. */
async function keyOf(c: Context, payment: string): Promise<string> {
  const body = new Uint8Array(await c.req.arrayBuffer());
  return toHex(sha256(concatBytes(sha256(utf8(`${c.req.method} ${c.req.path}`)), sha256(utf8(payment)), sha256(body))));
}

async function answerOf(response: Response): Promise<Answer | null> {
  if (response.status !== 200) return null;
  return { status: 200, headers: new Headers(response.headers), body: await response.clone().arrayBuffer() };
}
