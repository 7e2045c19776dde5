// Run beside LangChain 0.3: what proof402/langchain makes is called as an agent calls it.
import { strict as assert } from "node:assert";
import { readFileSync } from "node:fs";
import { tool } from "@langchain/core/tools";
import { openBuyer } from "proof402";
import { createProof402Tools, guardTool } from "proof402/langchain";
import * as z from "zod";

const receipt = readFileSync(process.argv[2], "utf8");
const call = (name, args) => ({ type: "tool_call", id: crypto.randomUUID(), name, args });
const buyer = await openBuyer();
const verify = createProof402Tools({ buyer }).find(({ name }) => name === "verify_receipt");
const judged = await verify.invoke(call("verify_receipt", { content: receipt }));
assert.equal(judged.artifact.data.receipt.verdict, "verified", String(judged.content));

let runs = 0;
const act = tool(() => `run ${++runs}`, { name: "act", description: "Acts.", schema: z.object({}) });
const guarded = guardTool(act, { buyer, assurance: "attested", allowSimulated: true, maxAge: 3600, bind: () => true });
const once = [];
for (let at = 0; at < 2; at += 1) once.push(await guarded.invoke(call("act", { receipt_id: JSON.parse(receipt).id })));
assert.equal(runs, 1, once.map(({ content }) => content).join("\n"));
assert.equal(once[1].status, "error");
await buyer.close();
console.log("LangChain 0.3: a receipt verified, and a guarded action ran once");
