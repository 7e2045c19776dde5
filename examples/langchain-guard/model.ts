import { AIMessage, fakeModel, ToolMessage, type BaseMessage } from "langchain";

/** Claude if a key is set and `@langchain/anthropic` is installed, else a script that shows what the guard lets through. */
export const model = process.env["ANTHROPIC_API_KEY"] ? "anthropic:claude-sonnet-4-5" : scriptedModel();

type Bought = { answer: { class: number[] }; receipt: { id: string } };

/** Buys, waits for the verdict, then tries to trade against the answer, as it says, and a second time. */
function scriptedModel(): ReturnType<typeof fakeModel> {
  return fakeModel()
    .respond((messages) =>
      call("buy_inference", { model: "eth-risk", input: { features: featuresIn(messages) }, seller: "honest" }),
    )
    .respond((messages) => call("get_receipt", { id: bought(messages).receipt.id, wait_seconds: 60 }))
    .respond((messages) => trade(messages, 1))
    .respond((messages) => trade(messages, 0))
    .respond((messages) => trade(messages, 0))
    .respond(new AIMessage("I bought one answer and made one trade."));
}

/** Trades as the answer says, or as the class after it would. */
function trade(messages: BaseMessage[], off: 0 | 1): AIMessage {
  const { answer, receipt } = bought(messages);
  const action = ["increase", "hold", "reduce"][(Number(answer.class) + off) % 3];
  return call("execute_trade", { action, receipt_id: receipt.id });
}

function bought(messages: BaseMessage[]): Bought {
  const message = messages.find((one) => ToolMessage.isInstance(one) && one.name === "buy_inference") as ToolMessage;
  return (message.artifact as { data: Bought }).data;
}

const featuresIn = (messages: BaseMessage[]): unknown =>
  JSON.parse(/\[.*\]/.exec(messages[0]?.text ?? "")?.[0] ?? "[]");

const call = (name: string, args: Record<string, unknown>): AIMessage =>
  new AIMessage({ content: "", tool_calls: [{ name, args, id: crypto.randomUUID(), type: "tool_call" }] });
