import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { writeDevnet } from "../../src/devnet/index.ts";
import type { AuditRow } from "../../src/cli/model-audit.ts";
import { openBuyer } from "../../src/buyer/open.ts";
import { loadConfig } from "../../src/config/load.ts";
import { chatServer } from "../support/chat-server.ts";
import { runCli } from "../support/cli.ts";
import { openMarket, type Market } from "../support/devnet.ts";

let market: Market;
let config: string;
const audit = async (...args: string[]): Promise<{ code: number; rows: AuditRow[] }> => {
  const { code, stdout } = await runCli(["--config", config, "audit-models", "--json", ...args]);
  return { code, rows: (JSON.parse(stdout) as { rows: AuditRow[] }).rows };
};

beforeAll(async () => {
  market = await openMarket({ chat: true });
  ({ config } = await writeDevnet(market.devnet, market.directory));
});
afterAll(() => market.stop());

test("sums up what was asked, served, used and paid, and fails once another model served", async () => {
  const settings = await loadConfig({ path: config });
  const { wallet } = market.devnet;
  const buyer = await openBuyer({ config: settings, wallet });
  const bounds = { assurance: "none", seller: "chat" } as const;
  for (const content of ["one", "two words"])
    await buyer.buy("devnet-chat", { messages: [{ role: "user", content }] }, bounds);
  await buyer.close();

  const month = new Date().toISOString().slice(0, 7);
  const honest = await audit();
  expect(honest.code).toBe(0);
  expect(honest.rows).toMatchObject([
    {
      month,
      seller: "chat",
      asked: "devnet-chat",
      served: "devnet-chat",
      match: "same",
      answers: 2,
      failed: 0,
      prompt_tokens: 3,
      completion_tokens: 7,
      answers_with_usage: 2,
      paid: "0.02",
      listed: "0.02",
      paid_of_listed: "0.02",
      over_listed: 0,
      per_1k_tokens: "2",
      symbol: "USDC",
    },
  ]);
  expect((await audit("--seller", "honest")).rows).toEqual([]);

  const server = await chatServer(market, {
    paid: () =>
      Response.json({ model: "tiny", choices: [{ index: 0, message: { role: "assistant", content: "hi" } }] }),
  });
  const sellers = settings.sellers.map((seller) =>
    seller.id === "chat" ? { ...seller, origin: server.origin } : seller,
  );
  const cheated = await openBuyer({ config: { ...settings, sellers }, wallet });
  const bought = await cheated.buy("devnet-chat", { messages: [{ role: "user", content: "three" }] }, bounds);
  expect(bought.verdict).toBe("failed");
  await cheated.close();
  await server.stop();

  const after = await audit();
  expect(after.code).toBe(1);
  expect(after.rows.find(({ served }) => served === "tiny")).toMatchObject({
    match: "other",
    answers: 1,
    failed: 1,
    answers_with_usage: 0,
    per_1k_tokens: "",
  });
  const file = join(market.directory, "audit.csv");
  const text = await runCli(["--config", config, "audit-models", "--csv", file]);
  expect(text.code).toBe(1);
  const [header = "", ...lines] = (await readFile(file, "utf8")).trimEnd().split("\r\n");
  expect(header).toContain("month,seller,asked,served,match,answers");
  expect(lines).toHaveLength(2);
  const shown = await runCli(["--config", config, "audit-models"]);
  expect(shown.stdout).toContain("asked devnet-chat, SERVED tiny");
});
