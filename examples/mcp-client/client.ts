import { fileURLToPath } from "node:url";
import { Client } from "@modelcontextprotocol/client";
import { StdioClientTransport } from "@modelcontextprotocol/client/stdio";

const config = process.env["PROOF402_CONFIG"];
if (config === undefined) throw new Error("Set PROOF402_CONFIG to the market's configuration.");
// The command line of the installed package, as a host starts it: `proof402 mcp`.
const cli = fileURLToPath(new URL("dist/src/cli/main.js", import.meta.resolve("proof402/package.json")));
const client = new Client({ name: "mcp-client", version: "1.0.0" });
await client.connect(
  new StdioClientTransport({ command: process.execPath, args: [cli, "mcp"], env: { PROOF402_CONFIG: config } }),
);

try {
  const { tools } = await client.listTools();
  console.log(`tools: ${tools.map((tool) => tool.name).join(", ")}`);

  const input = { features: [-0.012, -0.034, -0.081, 0.62, 0.74, -0.19, 1.8, 0.21] };
  const bought = await call<{ receipt: { id: string } }>("buy_inference", {
    model: "eth-risk",
    input,
    seller: "honest",
  });
  // The answer is there at once. It is acted on once its receipt is verified.
  const { receipt, exchange } = await call<Read>("get_receipt", { id: bought.receipt.id, wait_seconds: 55 });
  console.log(`answer: ${JSON.stringify(exchange.answer)}`);
  console.log(`verdict: ${receipt.verdict}, assurance ${receipt.assurance}, receipt ${receipt.id}`);
} finally {
  await client.close();
}

type Read = {
  receipt: { id: string; verdict: string; assurance: string };
  exchange: { answer: Record<string, unknown> };
};

/** A tool's structured result. Throws what the tool refused, in its own words. */
async function call<T>(name: string, args: Record<string, unknown>): Promise<T> {
  const { isError, content, structuredContent } = await client.callTool({ name, arguments: args });
  if (isError === true) throw new Error(JSON.stringify(content));
  return structuredContent as T;
}
