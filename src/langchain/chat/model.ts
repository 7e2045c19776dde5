import type { CallbackManagerForLLMRun } from "@langchain/core/callbacks/manager";
import type { BaseLanguageModelInput, StructuredOutputMethodOptions } from "@langchain/core/language_models/base";
import {
  BaseChatModel,
  type BaseChatModelParams,
  type BindToolsInput,
  type LangSmithParams,
} from "@langchain/core/language_models/chat_models";
import type { AIMessageChunk, BaseMessage, MessageContent } from "@langchain/core/messages";
import type { ChatGenerationChunk, ChatResult } from "@langchain/core/outputs";
import type { SerializableSchema } from "@langchain/core/utils/standard_schema";
import type { InteropZodType } from "@langchain/core/utils/types";
import {
  RunnableLambda,
  RunnablePassthrough,
  RunnableSequence,
  type Runnable,
  type RunnableConfig,
} from "@langchain/core/runnables";
import { createTold, judgedChat } from "../../buyer/chat-result.ts";
import { buyInParts, type BuyEvent } from "../../buyer/in-parts.ts";
import { createPaidAnswers } from "../../buyer/paid-answers.ts";
import type { Buyer, BuyOptions } from "../../buyer/types.ts";
import { Proof402Error } from "../../errors.ts";
import type { Assurance } from "../../receipts/schema.ts";
import { askedDigest, chatCallKeyOf, chatRunOf } from "../runtime.ts";
import { lastChunk, partChunk } from "./answer.ts";
import { toInputMessages } from "./messages.ts";
import { defined, inputOptions, RUN, toInputTools, type ChatProof402CallOptions } from "./options.ts";
import { formOf, METHODS, parseStructured, type AnswerSchema } from "./structured.ts";

/** What a chat model is made from. */
export type ChatProof402Fields = BaseChatModelParams & {
  buyer: Pick<Buyer, "buy" | "tokens">;
  /** A model that sellers of the buyer's configuration serve. */
  model: string;
  /** Only from this seller. */
  seller?: string;
  /** Least evidence wanted; the configuration's if absent. */
  assurance?: Assurance;
  /** Most that each call may cost, USD, on top of the policy's caps. */
  maxUsd?: number;
  /**
   * Waits for the final verdict, holds streams back until then, and throws `answer_not_verified` for any but `verified`. Without it the verdict stands in
   * `response_metadata.proof402`, and only `failed` is thrown.
   */
  requireVerified?: boolean;
  /** Asked before a payment that the policy wants a person's word for. */
  approve?: BuyOptions["approve"];
  temperature?: number;
  maxTokens?: number;
  stop?: string[];
  /** Other fields of the input. The exchange format refuses those that its sellers do not take. */
  input?: Record<string, unknown>;
};

/**
 * A LangChain chat model whose answers are bought, checked and kept as receipts. A message's `response_metadata.proof402` has
 * the receipt's id, the verdict and the payment. The pieces of a stream are marked `judged: 0` until the last.
 *
 * Calls throw the buyer's Proof402Error with the state of the money, and `answer_not_verified` for an answer with the verdict
 * `failed`. A call made again in the same task of a graph, or under the same run id, pays nothing twice.
 *
 * @example
 * ```ts
 * import { openBuyer } from "proof402";
 * import { ChatProof402 } from "proof402/langchain";
 *
 * const buyer = await openBuyer();
 * const model = new ChatProof402({ buyer, model: "devnet-chat", maxUsd: 0.05 });
 * const message = await model.invoke("What is the capital of France?");
 * const { verdict } = message.response_metadata["proof402"];
 * ```
 */
export class ChatProof402 extends BaseChatModel<ChatProof402CallOptions> {
  /** The model's name, as LangChain looks for it. */
  readonly model: string;
  readonly #fields: ChatProof402Fields;
  readonly #paid = createPaidAnswers(() => new Date());

  constructor(fields: ChatProof402Fields) {
    super(fields);
    this.#fields = fields;
    this.model = fields.model;
  }

  static override lc_name(): string {
    return "ChatProof402";
  }

  override get callKeys(): string[] {
    return [...super.callKeys, "tools", "tool_choice", "response_format", "idempotencyKey", "maxUsd"];
  }

  /** What names the call goes with its options: without callbacks no run is told to the model. */
  protected override _separateRunnableConfigFromCallOptionsCompat(
    options?: Partial<ChatProof402CallOptions>,
  ): [RunnableConfig, this["ParsedCallOptions"]] {
    const [config, parsed] = super._separateRunnableConfigFromCallOptionsCompat(options);
    return [config, { ...parsed, [RUN]: chatRunOf(config) }];
  }

  override _llmType(): string {
    return "proof402";
  }

  override _identifyingParams(): Record<string, unknown> {
    const { seller, assurance } = this.#fields;
    return defined({ model: this.model, seller, assurance, ...this.invocationParams() });
  }

  /** The fields of a request beside its messages. */
  override invocationParams(options: this["ParsedCallOptions"] = {}): Record<string, unknown> {
    const { temperature, maxTokens: max_tokens, stop, input } = this.#fields;
    return { ...defined({ temperature, max_tokens, stop }), ...input, ...inputOptions(options) };
  }

  override getLsParams(options: this["ParsedCallOptions"]): LangSmithParams {
    const { temperature, max_tokens: most, stop } = this.invocationParams(options);
    return {
      ls_provider: "proof402",
      ls_model_name: this.model,
      ls_model_type: "chat",
      ...(typeof temperature === "number" ? { ls_temperature: temperature } : {}),
      ...(typeof most === "number" ? { ls_max_tokens: most } : {}),
      ...(Array.isArray(stop) ? { ls_stop: stop as string[] } : {}),
    };
  }

  /** Some four characters a token. LangChain's own count would ask a server for each model's vocabulary. */
  override getNumTokens(content: MessageContent): Promise<number> {
    const texts =
      typeof content === "string" ? [content] : content.map((one) => ("text" in one ? String(one["text"]) : ""));
    return Promise.resolve(Math.ceil(texts.join("").length / 4));
  }

  override bindTools(
    tools: BindToolsInput[],
    { strict, ...options }: Partial<ChatProof402CallOptions> & { strict?: boolean } = {},
  ): Runnable<BaseLanguageModelInput, AIMessageChunk, ChatProof402CallOptions> {
    return this.withConfig({ ...options, tools: toInputTools(tools, strict) });
  }

  override withStructuredOutput<Out extends AnswerSchema = AnswerSchema>(
    schema: InteropZodType<Out> | SerializableSchema<Out> | AnswerSchema,
    config?: StructuredOutputMethodOptions,
  ): Runnable<BaseLanguageModelInput, Out>;
  override withStructuredOutput<Out extends AnswerSchema = AnswerSchema>(
    schema: InteropZodType<Out> | SerializableSchema<Out> | AnswerSchema,
    config?: StructuredOutputMethodOptions<true>,
  ): Runnable<BaseLanguageModelInput, { raw: BaseMessage; parsed: Out }>;
  override withStructuredOutput(schema: unknown, config: StructuredOutputMethodOptions<boolean> = {}): unknown {
    const { name, includeRaw = false, strict } = config;
    const method = METHODS.find((one) => one === (config.method ?? "jsonSchema"));
    if (method === undefined) {
      throw new Proof402Error("invalid_input", `No structured answer is asked for by "${config.method}".`, {
        next: `Use ${METHODS.join(", ")}.`,
      });
    }
    const answer = schema as AnswerSchema;
    const form = formOf(answer, name);
    const asking =
      method === "functionCalling"
        ? this.bindTools([{ type: "function", function: parametersOf(form, strict) }], { tool_choice: form.name })
        : this.withConfig({
            response_format:
              method === "jsonMode"
                ? { type: "json_object" }
                : { type: "json_schema", json_schema: { ...form, ...(strict === undefined ? {} : { strict }) } },
          });
    const parser = RunnableLambda.from((raw: BaseMessage) => parseStructured(raw, answer, form, method));
    if (!includeRaw) return asking.pipe(parser).withConfig({ runName: "StructuredOutput" });
    const parsed = RunnablePassthrough.assign({
      parsed: (given: { raw: BaseMessage }) => parser.invoke(given.raw).catch(() => null),
    });
    return RunnableSequence.from([{ raw: asking }, parsed]).withConfig({ runName: "StructuredOutputRunnable" });
  }

  override async _generate(
    messages: BaseMessage[],
    options: this["ParsedCallOptions"],
    run?: CallbackManagerForLLMRun,
  ): Promise<ChatResult> {
    options.signal?.throwIfAborted();
    const { buyer, requireVerified = false } = this.#fields;
    const input = this.#inputOf(messages, options, false);
    const { bounds, digest } = this.#bounds(messages, input, options);
    try {
      const result = await buyer.buy(this.model, input, bounds);
      const chat = judgedChat(result, requireVerified);
      return { generations: [lastChunk(result, chat, createTold(), buyer.tokens)] };
    } catch (error) {
      this.#paid.refused(digest, error);
      throw error;
    }
  }

  override async *_streamResponseChunks(
    messages: BaseMessage[],
    options: this["ParsedCallOptions"],
    run?: CallbackManagerForLLMRun,
  ): AsyncGenerator<ChatGenerationChunk> {
    options.signal?.throwIfAborted();
    const { buyer, requireVerified = false } = this.#fields;
    const input = this.#inputOf(messages, options, true);
    const { bounds, digest } = this.#bounds(messages, input, options);
    const told = createTold();
    const chunkFor = (event: BuyEvent): ChatGenerationChunk => {
      if ("result" in event)
        return lastChunk(event.result, judgedChat(event.result, requireVerified), told, buyer.tokens);
      told.add(event.part);
      return partChunk(event.part);
    };
    try {
      for await (const event of buyInParts(buyer, this.model, input, bounds)) {
        // A chunk that is out cannot be taken back.
        if ("part" in event && requireVerified) continue;
        const chunk = chunkFor(event);
        yield chunk;
        await run?.handleLLMNewToken(chunk.text, { prompt: 0, completion: 0 }, undefined, undefined, undefined, {
          chunk,
        });
      }
    } catch (error) {
      this.#paid.refused(digest, error);
      throw error;
    }
  }

  /**
   * LangChain's events of content blocks. Its own bridge drops a message's metadata, and takes the first tool for the text.
   *
   * @yields The events of one message.
   */
  override async *_streamChatModelEvents(
    messages: BaseMessage[],
    options: this["ParsedCallOptions"],
    run?: CallbackManagerForLLMRun,
  ): ReturnType<BaseChatModel["_streamChatModelEvents"]> {
    let metadata: Record<string, unknown> = {};
    const chunks = (): AsyncGenerator<ChatGenerationChunk> => this._streamResponseChunks(messages, options, run);
    async function* apart(): AsyncGenerator<ChatGenerationChunk> {
      for await (const chunk of chunks()) {
        metadata = chunk.message.response_metadata;
        const { tool_call_chunks: calls = [] } = chunk.message as AIMessageChunk;
        for (const call of calls) call.index = (call.index ?? 0) + 1;
        yield chunk;
      }
    }
    const bridged: unknown = Object.create(this, { _streamResponseChunks: { value: apart } });
    for await (const event of super._streamChatModelEvents.call(bridged as this, messages, options, run)) {
      yield event.event === "message-finish" ? { ...event, responseMetadata: metadata } : event;
    }
  }

  #inputOf(messages: BaseMessage[], options: this["ParsedCallOptions"], stream: boolean): Record<string, unknown> {
    return {
      messages: toInputMessages(messages),
      ...this.invocationParams(options),
      ...(stream ? { stream: true } : {}),
    };
  }

  /** The bounds of a call, and its digest among calls of this model. */
  #bounds(
    messages: BaseMessage[],
    input: Record<string, unknown>,
    options: this["ParsedCallOptions"],
  ): { bounds: BuyOptions; digest: string | null } {
    const { seller, assurance, requireVerified, approve } = this.#fields;
    const { idempotencyKey: own, maxUsd = this.#fields.maxUsd, signal } = options;
    const callKey =
      chatCallKeyOf(options[RUN] ?? {}, [this.model, toInputMessages(messages), this.invocationParams(options)]) ??
      undefined;
    const digest = askedDigest([input, maxUsd ?? null, own ?? null]);
    const bounds: BuyOptions = {
      seller,
      assurance,
      maxUsd,
      wait: requireVerified === true ? "verified" : "answer",
      idempotencyKey: own ?? this.#paid.keyFor(digest),
      callKey,
      signal,
      approve,
      chat: true,
    };
    return { bounds, digest };
  }
}

const parametersOf = (
  { schema, ...form }: ReturnType<typeof formOf>,
  strict: boolean | undefined,
): Record<string, unknown> => ({ ...form, parameters: schema, ...(strict === undefined ? {} : { strict }) });
