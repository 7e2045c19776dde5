import { secp256k1 } from "@noble/curves/secp256k1.js";
import { concatBytes, toHex } from "../../src/evidence/bytes.ts";
import { oysterMessageHash } from "../../src/evidence/oyster.ts";

/** A key of Marlin's Oyster, and its point as a seller's entry pins it. */
export const oysterKey = (): { secret: Uint8Array; point: string } => {
  const secret = secp256k1.utils.randomSecretKey();
  return { secret, point: toHex(secp256k1.getPublicKey(secret, false).subarray(1)) };
};

/** A signature in the form of `X-Signature`: r, s, and the parity plus 27, hex. */
export function oysterSignature(secret: Uint8Array, exchange: Parameters<typeof oysterMessageHash>[0]): string {
  const signed = secp256k1.sign(oysterMessageHash(exchange), secret, { prehash: false, format: "recovered" });
  return toHex(concatBytes(signed.subarray(1), Uint8Array.of(27 + signed[0]!)));
}

/** Answers a chat as Ollama behind Oyster's gateway does: by the last message, signed. */
export function oysterAnswer(
  secret: Uint8Array,
  change: (answer: Record<string, unknown>) => object = (answer) => answer,
): (request: Request) => Promise<Response> {
  return async (request) => {
    const asked = new Uint8Array(await request.arrayBuffer());
    const { model, messages } = JSON.parse(new TextDecoder().decode(asked)) as {
      model: string;
      messages: { content: string }[];
    };
    const message = { role: "assistant", content: `You said: ${messages.at(-1)?.content}` };
    const told = { model, created_at: "2026-01-01T00:00:00Z", message, done: true, done_reason: "stop", eval_count: 3 };
    const response = new TextEncoder().encode(JSON.stringify(change(told)));
    const path = new URL(request.url).pathname;
    const signature = oysterSignature(secret, { method: request.method, path, request: asked, response });
    return new Response(response, { headers: { "x-signature": signature, "content-type": "application/json" } });
  };
}
