import type { BaseChatModel } from "@langchain/core/language_models/chat_models";
import { AIMessage, fakeModel, initChatModel, ToolMessage, type BaseMessage } from "langchain";
import { Proof402Error } from "../../errors.ts";
import { ACTION_OF_CLASS, DEMO_FEATURES } from "./case.ts";

/** A real chat model when a key is set, else LangChain's own test model with a small decision function. */
export async function demoModel(env: NodeJS.ProcessEnv = process.env): Promise<{ model: BaseChatModel; name: string }> {
  const choice = env["ANTHROPIC_API_KEY"]
    ? { id: "anthropic:claude-sonnet-4-5", install: "@langchain/anthropic" }
    : env["OPENAI_API_KEY"]
      ? { id: "openai:gpt-5-mini", install: "@langchain/openai" }
      : null;
  if (choice === null) return { model: scriptedModel(), name: "scripted, no key set" };
  try {
    return { model: await initChatModel(env["PROOF402_DEMO_MODEL"] ?? choice.id), name: choice.id };
  } catch (error) {
    throw new Proof402Error("model_unavailable", `The chat model ${choice.id} could not be loaded.`, {
      next: `Run npm install ${choice.install}, or unset the key to use the scripted model.`,
      cause: error,
    });
  }
}

/** More turns than the script ever takes. */
const TURNS = 16;

function scriptedModel(): ReturnType<typeof fakeModel> {
  const model = fakeModel();
  for (let turn = 0; turn < TURNS; turn += 1) model.respond(decide);
  return model;
}

const call = (name: string, args: Record<string, unknown>): AIMessage =>
  new AIMessage({ content: "", tool_calls: [{ name, args, id: `call_${crypto.randomUUID()}`, type: "tool_call" }] });

const buy = (): AIMessage =>
  call("buy_inference", { model: "eth-risk", input: { features: [...DEMO_FEATURES] }, assurance: "attested" });

type Summary = { id: string; verdict: string };
type BuyData = { answer: Record<string, unknown>; receipt: Summary };

/** Decides the script's next step from the tools' words and nothing else. */
function decide(messages: BaseMessage[]): AIMessage {
  const last = messages.at(-1);
  if (!ToolMessage.isInstance(last)) return call("list_models", { model: "eth-risk" });
  const data = (last.artifact as { data?: unknown } | undefined)?.data;
  switch (last.name) {
    case "list_models":
      return buy();
    case "buy_inference": {
      if (last.status === "error") return new AIMessage(`I could not buy: ${last.text}`);
      const { receipt } = data as BuyData;
      if (receipt.verdict === "pending") return call("get_receipt", { id: receipt.id, wait_seconds: 20 });
      // A failed answer is offered to the guard all the same: an agent may be careless, the guard is not.
      return trade(messages, receipt.id);
    }
    case "get_receipt":
      return trade(messages, (data as { receipt: Summary }).receipt.id);
    case "execute_trade":
      return last.status === "error" && purchases(messages).length < 3 ? buy() : new AIMessage(`Done. ${last.text}`);
    default:
      return new AIMessage("I do not know what to do next.");
  }
}

function trade(messages: BaseMessage[], receiptId: string): AIMessage {
  const bought = purchases(messages).find((data) => data.receipt.id === receiptId);
  const value = bought?.answer["class"];
  const risk: unknown = Array.isArray(value) ? value[0] : value;
  const action = ACTION_OF_CLASS[typeof risk === "number" ? risk : 1] ?? "hold";
  return call("execute_trade", { action, receipt_id: receiptId });
}

const purchases = (messages: BaseMessage[]): BuyData[] =>
  messages.flatMap((message) =>
    ToolMessage.isInstance(message) && message.name === "buy_inference" && message.status !== "error"
      ? [(message.artifact as { data: BuyData }).data]
      : [],
  );
