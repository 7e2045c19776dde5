import { Hono } from "hono";
import { fromHex, jsonOf, toBase64, type Bytes } from "../../evidence/bytes.ts";
import type { Enclave } from "../../node/index.ts";
import type { Upstream } from "../upstream.ts";
import { createCallBuffer, signedAnswerBytes, signedRequestBytes, signExchange, type TeeFields } from "./answers.ts";
import { forward, forwardStream, UpstreamFailed, type Piece, type Usage } from "./forward.ts";
import { createSessions, type GatewayPayment, type Session } from "./sessions.ts";

/** A gateway of language models, as OpenGradient's. */
export type Gateway = {
  fetch: (request: Request) => Promise<Response>;
  /** Settles what is due. */
  close(): Promise<void>;
};

export type GatewayOptions = {
  upstream: Upstream;
  /** Base units of the token for a token of the prompt and of the answer, by model. */
  prices: Readonly<Record<string, { input: bigint; output: bigint }>>;
  payment: GatewayPayment;
  /** What signs, and attests at `/enclave/attestation`. */
  enclave: Enclave;
  /** Told of each signed exchange, with the way that its request asked to have it published. */
  publish?: (exchange: Published) => void;
  /** Whether the token's price is known; without it nothing is served. */
  isPriced?: () => boolean;
};

/** A signed exchange to be published. */
export type Published = { mode: "private" | "batch" | "individual"; fields: TeeFields };

const CHAT = "/v1/chat/completions";
const COMPLETIONS = "/v1/completions";
const NONCE = /^[0-9a-f]{40}$/;

/** Serves OpenGradient's protocol (tee-gateway, `__main__.py` and its controllers) in front of an upstream. */
export function createGateway(options: GatewayOptions): Gateway {
  const { enclave, prices, payment } = options;
  const sessions = createSessions(payment);
  const app = new Hono();
  app.onError((_error, c) => c.json({ error: "Internal server error" }, 500));
  app.get("/health", (c) => c.json({ status: "OK", price_feed: { ok: options.isPriced?.() ?? true } }));
  app.get("/signing-key", (c) =>
    c.json({
      public_key: pemOf(enclave.publicKey),
      tee_id: enclave.keyId,
      wallet_address: payment.payTo,
      timestamp: new Date().toISOString(),
      enclave_info: { simulated: enclave.simulated },
      measurements: null,
    }),
  );
  app.get("/enclave/attestation", async (c) => {
    const nonce = c.req.query("nonce") ?? "";
    if (!NONCE.test(nonce)) return c.text("the nonce is not 20 bytes of hex", 400);
    return c.text(toBase64(await enclave.attest(fromHex(nonce))));
  });

  /** Serves a paid call. Any answer but a 2xx costs nothing. */
  const paid = async (
    request: Request,
    serve: (body: Bytes, asked: Record<string, unknown>, session: Session) => Promise<Response>,
  ): Promise<Response> => {
    const body = new Uint8Array(await request.clone().arrayBuffer());
    const entry = await sessions.enter(request);
    if (entry.kind === "unpaid") return entry.response;
    const { session } = entry;
    try {
      const asked = jsonOf(body);
      if (options.isPriced?.() === false) return refusal(session, 503, "OPG price unavailable");
      if (typeof asked !== "object" || asked === null) return refusal(session, 400, "The body is no JSON");
      const { model } = asked as { model?: unknown };
      if (typeof model !== "string" || !Object.hasOwn(prices, model)) return refusal(session, 400, "Unsupported model");
      return await serve(body, asked as Record<string, unknown>, session);
    } catch (error) {
      if (error instanceof UpstreamFailed) return refusal(session, 500, "The provider failed");
      session.leave();
      throw error;
    }
  };

  const signed = (request: Bytes, answer: Bytes): Promise<TeeFields> =>
    signExchange(enclave, { request, answer, timestamp: Math.floor(Date.now() / 1000) });

  const costOf = (model: string, usage: Usage | null): bigint => {
    const { input, output } = prices[model] ?? { input: 0n, output: 0n };
    return BigInt(usage?.prompt_tokens ?? 0) * input + BigInt(usage?.completion_tokens ?? 0) * output;
  };

  app.post(CHAT, (c) =>
    paid(c.req.raw, async (body, asked, session) => {
      const request = signedRequestBytes(body);
      if (request === null) return refusal(session, 500, "The request cannot be read");
      const model = String(asked["model"]);
      const head = { id: `chatcmpl-${crypto.randomUUID()}`, model };
      const mode = modeOf(c.req.header("x-settlement-type"));
      const after = (usage: Usage | null, fields: TeeFields): object => {
        const cost = costOf(model, usage);
        session.charge(cost);
        options.publish?.({ mode, fields });
        return { usage, opengradient: costs(cost), ...fields };
      };
      if (asked["stream"] === true) {
        const pieces = await forwardStream(options.upstream, asked);
        const stream = streamOf(head, pieces, async (answer, usage) => after(usage, await signed(request, answer)));
        return new Response(
          ended(stream, () => session.leave()),
          {
            headers: { "content-type": "text/event-stream", "x-upto-session": session.id },
          },
        );
      }
      const { message, finishReason, usage } = await forward(options.upstream, asked);
      const fields = await signed(request, signedAnswerBytes(message));
      const choices = [{ index: 0, message, finish_reason: finishReason }];
      const answer = { ...head, object: "chat.completion", created: fields.tee_timestamp, choices };
      const response = Response.json({ ...answer, ...after(usage, fields) }, { headers: sessionHeader(session) });
      session.leave();
      return response;
    }),
  );

  app.post(COMPLETIONS, (c) =>
    paid(c.req.raw, async (body, asked, session) => {
      const request = signedRequestBytes(body);
      if (request === null) return refusal(session, 500, "The request cannot be read");
      const { model, prompt, temperature, max_tokens: most = 16 } = asked;
      // The prompt is wrapped in one user message, and the rest of the request is ignored.
      const chat = { model, temperature, max_tokens: most, messages: [{ role: "user", content: prompt }] };
      const { message, finishReason, usage } = await forward(options.upstream, chat);
      const text = message.content ?? "";
      const fields = await signed(request, signedAnswerBytes({ content: text }));
      const cost = costOf(String(model), usage);
      session.charge(cost);
      options.publish?.({ mode: modeOf(c.req.header("x-settlement-type")), fields });
      const head = { id: `cmpl-${crypto.randomUUID()}`, object: "text_completion", created: fields.tee_timestamp };
      const choices = [{ index: 0, text, finish_reason: finishReason }];
      const answer = { ...head, model, choices, usage, opengradient: costs(cost), ...fields };
      const response = Response.json(answer, { headers: sessionHeader(session) });
      session.leave();
      return response;
    }),
  );
  return { fetch: async (request) => app.fetch(request), close: () => sessions.close() };
}

const sessionHeader = ({ id }: Session): Record<string, string> => ({ "x-upto-session": id });

function refusal(session: Session, status: 400 | 500 | 503, error: string): Response {
  session.leave();
  return Response.json({ error }, { status, headers: sessionHeader(session) });
}

/** Silence is leave to publish hashes, as the real one takes it; two misspellings are understood. */
function modeOf(header: string | undefined): Published["mode"] {
  const known: Record<string, Published["mode"]> = {
    private: "private",
    pivate: "private",
    individual: "individual",
    inidvidual: "individual",
  };
  return known[(header ?? "").trim().toLowerCase()] ?? "batch";
}

/** What a call cost. One token of the devnet's is worth one dollar. */
function costs(cost: bigint): Record<string, string> {
  const whole = (Number(cost) / 1e18).toString();
  return { cost_opg: whole, cost_usd: whole, opg_price_usd: "1" };
}

// The frames of a streamed answer, with the signature in the last one.
async function* streamOf(
  { id, model }: { id: string; model: string },
  pieces: AsyncGenerator<Piece>,
  finish: (answer: Bytes, usage: Usage | null) => Promise<object>,
): AsyncGenerator<string> {
  const calls = createCallBuffer();
  let content = "";
  let usage: Usage | null = null;
  let finishReason: string | null = null;
  const head = { id, object: "chat.completion.chunk", created: Math.floor(Date.now() / 1000), model };
  const frame = (rest: object): string => `data: ${JSON.stringify({ ...head, ...rest })}\n\n`;
  for await (const piece of pieces) {
    if ("usage" in piece) {
      usage = piece.usage;
      continue;
    }
    const { delta } = piece;
    finishReason = piece.finishReason ?? finishReason;
    content += typeof delta["content"] === "string" ? delta["content"] : "";
    calls.add(delta["tool_calls"]);
    if (Object.keys(delta).length > 0) yield frame({ choices: [{ index: 0, delta, finish_reason: null }] });
  }
  const made = calls.calls();
  const answer = signedAnswerBytes({ content, ...(made.length === 0 ? {} : { tool_calls: made }) });
  const choices = [{ index: 0, delta: {}, finish_reason: finishReason ?? "stop" }];
  yield frame({ choices, ...(await finish(answer, usage)) });
  yield "data: [DONE]\n\n";
}

/** A body of these texts; `done` is called once, however it ends. */
function ended(texts: AsyncGenerator<string>, done: () => void): ReadableStream<Uint8Array> {
  const encoder = new TextEncoder();
  return new ReadableStream({
    async pull(controller) {
      try {
        const next = await texts.next();
        if (next.done !== true) {
          controller.enqueue(encoder.encode(next.value));
          return;
        }
        done();
        controller.close();
      } catch (error) {
        done();
        controller.error(error);
      }
    },
    async cancel() {
      await texts.return(undefined);
      done();
    },
  });
}

function pemOf(spki: Uint8Array): string {
  const lines = toBase64(spki).match(/.{1,64}/g) ?? [];
  return `-----BEGIN PUBLIC KEY-----\n${lines.join("\n")}\n-----END PUBLIC KEY-----\n`;
}
