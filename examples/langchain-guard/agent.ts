// readme:begin
import { createAgent, tool } from "langchain";
import { z } from "zod";
import { openBuyer } from "proof402";
import { createProof402Tools, guardTool } from "proof402/langchain";
import { model } from "./model.ts"; // not in README

await using buyer = await openBuyer();
// What is known of the market now, from your own feed: the guard compares it with what the agent asked about.
const features = [-0.012, -0.034, -0.081, 0.62, 0.74, -0.19, 1.8, 0.21];
const ACTIONS = ["increase", "hold", "reduce"] as const;
const schema = z.strictObject({ action: z.enum(ACTIONS) });
const trade = tool(({ action }) => `traded: ${action}`, { name: "execute_trade", description: "Trade ETH.", schema });
const agent = createAgent({
  model, // in README: model: "anthropic:claude-sonnet-4-5",
  tools: [
    ...createProof402Tools({ buyer }),
    // Runs only with a fresh verified receipt whose answer justifies the arguments; each purchase allows one action.
    guardTool(trade, {
      buyer,
      assurance: "attested",
      maxAge: 300,
      allowSimulated: true, // For the market on this machine: its hardware is simulated. Leave it out with real sellers.
      bind: ({ args, input, answer }) =>
        JSON.stringify(input["features"]) === JSON.stringify(features) &&
        ACTIONS[Number(answer["class"])] === args["action"],
    }),
  ],
});
const content = `Judge ETH risk (class 0 increase, 1 hold, 2 reduce) for features ${JSON.stringify(features)}, then trade.`;
const result = await agent.invoke({ messages: [{ role: "user", content }] });
for (const { name, text } of result.messages) if (name === "execute_trade") console.log(text.split(". ")[0]); // not in README
console.log(result.messages.at(-1)?.text);
// readme:end
