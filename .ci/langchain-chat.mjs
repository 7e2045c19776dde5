// Run beside LangChain 0.3, on a market with a seller of chats: the chat model of proof402/langchain as an application uses it.
import { strict as assert } from "node:assert";
import { HumanMessage } from "@langchain/core/messages";
import { tool } from "@langchain/core/tools";
import { openBuyer } from "proof402";
import { ChatProof402 } from "proof402/langchain";
import * as z from "zod";

const buyer = await openBuyer();
const model = new ChatProof402({ buyer, model: "devnet-chat", assurance: "none" });
const price = tool(({ pair }) => `${pair} is 1`, {
  name: "get_price",
  description: "A price.",
  schema: z.object({ pair: z.string() }),
});
const bound = model.bindTools([price]);
const asked = new HumanMessage('get_price {"pair":"ETH"}');
const called = await bound.invoke([asked]);
const result = await price.invoke({ type: "tool_call", ...called.tool_calls[0] });
let text = "";
let last;
for await (const chunk of await bound.stream([asked, called, result])) {
  text += chunk.text;
  last = chunk;
}
assert.equal(text, "The tool says: ETH is 1");
for (const { response_metadata: said } of [called, last]) assert.equal(said.proof402.judged, 1);
const form = model.withStructuredOutput(z.object({ city: z.string() }), { name: "city" });
assert.deepEqual(await form.invoke("Rome"), { city: "Rome" });
await buyer.close();
console.log("LangChain 0.3: a chat model called a tool, streamed, and answered in a form");
