import { toHex } from "../evidence/bytes.ts";
import { canonicalSha256 } from "../evidence/canonical.ts";
import { createTold, judgedChat } from "../buyer/chat-result.ts";
import { buyInParts, type BuyEvent } from "../buyer/in-parts.ts";
import { createPaidAnswers } from "../buyer/paid-answers.ts";
import type { Buyer, BuyOptions } from "../buyer/types.ts";
import { Proof402Error } from "../errors.ts";
import { framesOf, proof402Of, wholeAnswer, type Shape } from "./answer.ts";
import { refusalOf, turnedAway } from "./refusal.ts";
import { readAsked, readBounds, type Asked, type Bounds } from "./request.ts";

/** A request after the server's own checks. Header names are lower case. */
export type ProxyRequest = {
  method: string;
  path: string;
  headers: Readonly<Record<string, string | undefined>>;
  body: Uint8Array;
  /** Aborted once the client is gone. */
  signal: AbortSignal;
};

/** An answer: JSON, or the texts of an event stream as they come. */
export type ProxyReply = {
  status: number;
  headers: Record<string, string>;
  body: object | AsyncGenerator<string>;
  /** Called once all of it is out. An equal request before that, or after a reply that never was, pays nothing. */
  delivered?: () => void;
};

/** What the proxy buys with. */
export type ProxyOptions = {
  buyer: Pick<Buyer, "buy" | "listModels" | "tokens">;
  /** Answers 502 for each verdict but `verified`. Streams are held back until they are judged. */
  strict: boolean;
  /** Bounds of every request, which its headers may narrow. */
  bounds: Omit<Bounds, "idempotencyKey">;
  clock: () => Date;
};

/** OpenAI's API in front of a buyer: each request is one purchase under the policy. Never rejects. */
export function createProxy(options: ProxyOptions): (request: ProxyRequest) => Promise<ProxyReply> {
  const { buyer, strict, clock } = options;
  const paid = createPaidAnswers(clock);

  const shapeOf = (kind: Shape["kind"], id: string, model: string): Shape => ({
    kind,
    id: `${kind === "chat" ? "chatcmpl" : "cmpl"}-${id}`,
    created: Math.floor(clock().getTime() / 1000),
    model,
  });

  // The first event is here already. A failure is a frame, too.
  async function* stream(
    kind: Shape["kind"],
    asked: Asked,
    first: BuyEvent,
    rest: AsyncGenerator<BuyEvent>,
    { sending, failed }: Outcome,
  ): AsyncGenerator<string> {
    const frames = framesOf(shapeOf(kind, crypto.randomUUID().replaceAll("-", ""), asked.model));
    const told = createTold();
    try {
      const begin = frames.first();
      if (begin !== null) yield eventOf(begin);
      for (
        let event: BuyEvent | undefined = first;
        event !== undefined;
        event = (await rest.next()).value as BuyEvent
      ) {
        if ("part" in event) {
          told.add(event.part);
          yield eventOf(frames.part(event.part));
          continue;
        }
        sending(event.result.idempotencyKey);
        const chat = judgedChat(event.result, strict);
        const { text, refusal, calls, isCovered } = told.restOf(event.result, chat);
        if (text !== "" || refusal !== "" || calls.length > 0)
          yield eventOf(
            frames.part({
              ...(text === "" ? {} : { text }),
              ...(refusal === "" ? {} : { refusal }),
              ...(calls.length === 0 ? {} : { toolCalls: calls }),
            }),
          );
        yield eventOf(frames.last(chat, proof402Of(event.result, chat, buyer.tokens, isCovered)));
        if (asked.withUsage && chat.usage !== null) yield eventOf(frames.usage(chat));
        yield "data: [DONE]\n\n";
        return;
      }
    } catch (error) {
      failed(error);
      yield eventOf(refusalOf(error).body);
    } finally {
      await rest.return(undefined);
    }
  }

  const buy = async (request: ProxyRequest, kind: Shape["kind"]): Promise<ProxyReply> => {
    const { path, body, headers, signal } = request;
    const asked = readAsked(body, kind);
    const bounds = narrowed(options.bounds, readBounds(headers));
    // Of what is bought: a field that stays here makes no other purchase of it.
    const digest = toHex(canonicalSha256([path, asked.model, asked.input, bounds]));
    const buying: BuyOptions = {
      ...bounds,
      idempotencyKey: bounds.idempotencyKey ?? paid.keyFor(digest),
      wait: strict ? "verified" : "answer",
      signal,
      chat: true,
    };
    let delivered = (): void => undefined;
    const outcome: Outcome = {
      sending: (key) => void (delivered = paid.sending(digest, key)),
      failed: (error) => paid.refused(digest, error),
    };
    const reply = (rest: Omit<ProxyReply, "status">): ProxyReply => ({
      status: 200,
      ...rest,
      delivered: () => delivered(),
    });
    try {
      if (asked.isStream && !strict) {
        const events = buyInParts(buyer, asked.model, asked.input, buying);
        const first = await events.next();
        if (first.done !== true) {
          const texts = stream(kind, asked, first.value, events, outcome);
          return reply({ headers: { ...STREAM, ...leftOut(asked) }, body: texts });
        }
      }
      const result = await buyer.buy(asked.model, asked.input, buying);
      outcome.sending(result.idempotencyKey);
      const chat = judgedChat(result, strict);
      const proof402 = proof402Of(result, chat, buyer.tokens);
      const said = {
        "x-proof402-receipt": proof402.receipt_id,
        "x-proof402-verdict": proof402.verdict,
        "x-proof402-assurance": proof402.assurance,
        ...leftOut(asked),
      };
      if (!asked.isStream) {
        const shape = shapeOf(kind, proof402.receipt_id, chat.model ?? asked.model);
        return reply({ headers: said, body: wholeAnswer(shape, chat, proof402) });
      }
      const texts = stream(kind, asked, { result }, none(), outcome);
      return reply({ headers: { ...STREAM, ...said }, body: texts });
    } catch (error) {
      outcome.failed(error);
      throw error;
    }
  };

  const models = async ({ signal }: ProxyRequest): Promise<ProxyReply> => {
    const { models: all } = await buyer.listModels({ signal });
    // A tensor may have the same name.
    const chats = all.filter(({ input, inputs }) => Object.hasOwn(input, "messages") && inputs.length === 0);
    const names = [...new Set(chats.map(({ name }) => name))];
    const data = names.map((id) => ({
      id,
      object: "model",
      created: 0,
      owned_by: [...new Set(chats.flatMap(({ name, seller }) => (name === id ? [seller.id] : [])))].join(", "),
    }));
    return { status: 200, headers: {}, body: { object: "list", data } };
  };

  const routes: Readonly<Record<string, (request: ProxyRequest) => Promise<ProxyReply>>> = {
    "POST /v1/chat/completions": (request) => buy(request, "chat"),
    "POST /v1/completions": (request) => buy(request, "completion"),
    "GET /v1/models": models,
  };

  return async (request) => {
    const route = routes[`${request.method} ${request.path}`];
    if (route === undefined) {
      const { status, body } = turnedAway(404, "No such path.", `The proxy serves ${Object.keys(routes).join(", ")}.`);
      return { status, headers: {}, body };
    }
    try {
      return await route(request);
    } catch (error) {
      const { status, body } = refusalOf(error);
      const receipt = body.error["receipt_id"];
      return {
        status,
        headers: {
          // OpenAI's clients would send the same request again. That is for its caller to decide.
          "x-should-retry": "false",
          ...(typeof receipt === "string" ? { "x-proof402-receipt": receipt } : {}),
        },
        body,
      };
    }
  };
}

/** What a reply tells the memory of paid answers. */
type Outcome = { sending: (key: string) => void; failed: (error: unknown) => void };

const STREAM = { "content-type": "text/event-stream; charset=utf-8", "cache-control": "no-cache" };

const eventOf = (frame: object): string => `data: ${JSON.stringify(frame)}\n\n`;

const leftOut = ({ leftOut: fields }: Asked): Record<string, string> =>
  fields.length === 0 ? {} : { "x-proof402-left-out": fields.join(", ") };

/** The bounds of a request within those of the proxy. A header names a seller or an assurance only where the proxy has none. */
function narrowed(own: ProxyOptions["bounds"], asked: Bounds): Bounds {
  for (const name of ["seller", "assurance"] as const) {
    if (own[name] === undefined || asked[name] === undefined || own[name] === asked[name]) continue;
    throw new Proof402Error(
      "invalid_input",
      `The proxy's own ${name} is "${own[name]}", and a request cannot change it.`,
      {
        next: `Leave x-proof402-${name} out.`,
      },
    );
  }
  const most = [own.maxUsd, asked.maxUsd].filter((one) => one !== undefined);
  return { ...asked, ...own, ...(most.length === 0 ? {} : { maxUsd: Math.min(...most) }) };
}

// oxlint-disable-next-line require-yield -- a stream whose one event is the judged result
async function* none(): AsyncGenerator<BuyEvent> {}
