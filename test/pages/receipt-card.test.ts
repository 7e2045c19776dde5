import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { fileURLToPath } from "node:url";
import type { Frame, Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { bundlePage } from "../../scripts/bundle-page.ts";
import { cardScript } from "../../src/pages/card-script.artifact.ts";
import { readResult } from "../../src/pages/card-result.ts";
import { receiptCard } from "../../src/pages/index.ts";
import { serializeReceipt } from "../../src/receipts/receipt.ts";
import type { summarize } from "../../src/tools/summary.ts";
import { verificationOf } from "../../src/tools/verify-receipt.ts";
import { verifyReceipt } from "../../src/verify/verify-receipt.ts";
import { findChromium, openChromium } from "../support/chromium.ts";
import { makeFixture } from "../support/fixture-receipt.ts";

/** What a card could do to its reader, as text of a result. */
const ATTACK = `"'><img src=x onerror="document.title='owned'"><script>document.title='owned'</script><h1 class="verified">VERIFIED</h1>\u202E`;
type Result = { structuredContent: Record<string, unknown>; content: unknown[] };

let good: Result;
beforeAll(async () => {
  const { receipt, policy } = await makeFixture();
  const verified = await verifyReceipt(serializeReceipt(receipt), policy);
  if (!verified.ok) throw new Error(verified.message);
  const data = { ...verificationOf(receipt, verified.appraisal, []), next: "Act within what notProven says." };
  good = { content: [{ type: "text", text: "the same as text" }], structuredContent: data };
});

/** A result whose receipt has other fields. */
const changed = (fields: Record<string, unknown>): Result => ({
  ...good,
  structuredContent: {
    ...good.structuredContent,
    receipt: { ...(good.structuredContent["receipt"] as object), ...fields },
  },
});

test("the script in the package is the one that its source makes", async () => {
  const made = await bundlePage(fileURLToPath(new URL("../../src/pages/card-app.ts", import.meta.url)));
  expect(cardScript === made, "stale: npm run generate:card").toBe(true);
});

test("the card is one small page that loads nothing", () => {
  const card = receiptCard();
  expect(card.length).toBeLessThan(30_000);
  const policy = /http-equiv="Content-Security-Policy" content="([^"]*)"/.exec(card)?.[1] ?? "";
  expect(policy).toMatch(
    /^default-src &#39;none&#39;; style-src &#39;sha256-\S+&#39;; script-src &#39;sha256-\S+&#39;;/,
  );
  expect(policy).not.toContain("unsafe");
  expect(card.slice(0, card.indexOf("<script"))).not.toMatch(/\b(?:src|href)=/);
  expect(cardScript).not.toMatch(/\beval\(|new Function|fetch\(|XMLHttpRequest|WebSocket|import\(/);
});

describe("a result", () => {
  test("is a receipt as the tools tell it, with each layer's reason if the tool gave it", () => {
    const read = readResult(good);
    const receipt = good.structuredContent["receipt"] as ReturnType<typeof summarize>;
    expect(read).toMatchObject({
      kind: "receipt",
      receipt: { id: receipt.id, verdict: "verified", simulated: true, notProven: receipt.notProven },
      asked: { features: [1, 2] },
      answered: { class: [1] },
    });
    expect(read.kind === "receipt" && read.receipt.layers.map(({ layer, status }) => [layer, status])).toEqual(
      Object.entries(receipt.layers),
    );
    expect(read.kind === "receipt" && read.receipt.layers.every(({ note }) => note !== undefined)).toBe(true);
    const { layers: _layers, ...concise } = good.structuredContent;
    const short = readResult({ ...good, structuredContent: concise });
    expect(short.kind === "receipt" && short.receipt.layers.some(({ note }) => note !== undefined)).toBe(false);
  });

  test("a layer's reason under another status than the receipt's is not shown", () => {
    const told = changed({
      verdict: "failed",
      layers: { ...(good.structuredContent["receipt"] as { layers: object }).layers, response: "fail" },
    });
    const read = readResult(told);
    const found = read.kind === "receipt" ? read.receipt.layers.find(({ layer }) => layer === "response") : undefined;
    expect(found).toEqual({ layer: "response", status: "fail" });
  });

  test("without all that carries its verdict is text, and never a verdict", () => {
    const { layers } = good.structuredContent["receipt"] as { layers: Record<string, string> };
    const { settlement: _settlement, ...fewer } = layers;
    for (const fields of [
      { verdict: "VERIFIED" },
      { verdict: ["verified"] },
      { simulated: undefined },
      { simulated: "false" },
      { layers: fewer },
      { layers: { ...layers, key: "verified" } },
      { layers: null },
      { notProven: undefined },
      { notProven: [1] },
      { notProven: [] },
      { layers: { ...layers, key: "fail" } },
      { verdict: "pending", layers: { ...layers, settlement: "fail" } },
      { paid: { amount: "1e9" } },
      { paid: null },
      { seller: 7 },
    ])
      expect(readResult(changed(fields)), JSON.stringify(fields)).toEqual({ kind: "text", text: "the same as text" });
    for (const junk of [
      null,
      1,
      "verified",
      [],
      {},
      { structuredContent: [good] },
      { ...good, isError: true, content: 1 },
    ])
      expect(readResult(junk)).toEqual({ kind: "text", text: "" });
  });

  test("with limits without end says how many there are", () => {
    const read = readResult(changed({ notProven: Array.from({ length: 1000 }, (_, at) => `limit ${at}`) }));
    const shown = read.kind === "receipt" ? read.receipt.notProven : [];
    expect([shown.length, shown.at(-1)]).toEqual([41, "And 960 more: see the receipt."]);
  });

  test("of a failure says what became of the money", () => {
    const error = { code: "seller_timeout", message: "The seller is slow.", money: "may-move", next: "Call again." };
    expect(readResult({ isError: true, content: [], structuredContent: { error } })).toEqual({
      kind: "error",
      ...error,
    });
  });
});

const chromium = findChromium();
describe.skipIf(chromium === null)("in a host", () => {
  let browser: Awaited<ReturnType<typeof openChromium>>;
  beforeAll(async () => {
    browser = await openChromium(chromium ?? "");
  });
  afterAll(() => browser.close());

  type Host = { page: Page; card: Frame; asked: string[]; said: string[] };
  const heard = (
    page: Page,
  ): Promise<{ method?: string; id?: unknown; params?: unknown; result?: unknown; error?: unknown }[]> =>
    page.evaluate("window.heard");
  /** A message of the host to the card. */
  const tell = (page: Page, message: unknown): Promise<void> =>
    page.evaluate(`document.querySelector("iframe").contentWindow.postMessage(${JSON.stringify(message)}, "*")`);

  /** A host page as the protocol has it, with the card in a sandbox, and a frame of a stranger beside it. */
  async function open(): Promise<Host> {
    const page = await browser.context.newPage();
    const [asked, said]: [string[], string[]] = [[], []];
    await page.route("**/*", (route) => {
      const { pathname } = new URL(route.request().url());
      if (pathname !== "/") asked.push(route.request().url());
      return route.fulfill({ contentType: "text/html", body: "<!doctype html><title>host</title>" });
    });
    page.on("console", (message) => said.push(message.text()));
    page.on("pageerror", (error) => said.push(String(error)));
    await page.goto("http://host.test/");
    const hosting = `{
      window.heard = [];
      const frame = document.createElement("iframe");
      frame.sandbox = "allow-scripts";
      frame.title = "receipt";
      frame.srcdoc = ${JSON.stringify(receiptCard()).replaceAll("<", "\\u003c")};
      addEventListener("message", (event) => { if (event.source === frame.contentWindow) heard.push(event.data); });
      document.body.append(frame);
    }`;
    await page.evaluate(hosting);
    await expect.poll(async () => [(await heard(page)).length, said], { timeout: 30_000 }).toEqual([1, []]);
    const card = page.frames().find((frame) => frame !== page.mainFrame());
    if (card === undefined) throw new Error("no card");
    return { page, card, asked, said };
  }

  /** The same after the handshake. */
  async function opened(context: Record<string, unknown> = { theme: "dark" }): Promise<Host> {
    const host = await open();
    const [hello] = await heard(host.page);
    const result = {
      protocolVersion: "2026-01-26",
      hostInfo: { name: "h", version: "1" },
      hostCapabilities: {},
      hostContext: context,
    };
    await tell(host.page, { jsonrpc: "2.0", id: hello?.id, result });
    await expect
      .poll(async () => (await heard(host.page)).map(({ method }) => method))
      .toContain("ui/notifications/size-changed");
    return host;
  }
  const result = (params: unknown): unknown => ({ jsonrpc: "2.0", method: "ui/notifications/tool-result", params });

  test("shakes hands, takes the host's theme, shows the result, and tells its size", async () => {
    const { page, card, asked, said } = await opened();
    const [hello, initialized] = await heard(page);
    expect(hello).toMatchObject({ method: "ui/initialize", params: { protocolVersion: "2026-01-26" } });
    expect(initialized).toEqual({ jsonrpc: "2.0", method: "ui/notifications/initialized", params: {} });
    await tell(page, {
      jsonrpc: "2.0",
      method: "ui/notifications/tool-input",
      params: { arguments: { id: "p402_x" } },
    });
    await card.getByText("p402_x").waitFor();
    const before = (await heard(page)).length;
    await tell(page, result(good));
    await card.getByText("VERIFIED (simulated hardware)").waitFor();
    const shown = (await card.textContent("main")) ?? "";
    for (const words of [
      "fixture",
      "the file's word; nothing here confirms it",
      "reported",
      "What this does not prove",
      "simulated",
    ])
      expect(shown).toContain(words);
    await expect.poll(async () => (await heard(page)).length).toBeGreaterThan(before);
    const { params } = (await heard(page)).at(-1) ?? {};
    expect((params as { height: number }).height).toBeGreaterThan(500);
    expect(await card.evaluate("document.documentElement.dataset.theme")).toBe("dark");
    await card.evaluate(readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8"));
    const axe = await card.evaluate<{ violations: { id: string }[]; passes: unknown[] }>("axe.run()");
    expect([axe.violations.map(({ id }) => id), axe.passes.length > 10]).toEqual([[], true]);
    // A result that follows replaces it: no verdict of the one before is left.
    await tell(page, result({ content: [{ type: "text", text: "no receipt" }] }));
    await card.getByText("No receipt to show").waitFor();
    expect(await card.textContent("main")).not.toMatch(/verified/i);
    expect([asked, said]).toEqual([[], []]);
    await page.close();
  });

  test("runs nothing of a result, and shows no verdict but the one told", async () => {
    const { page, card, asked, said } = await opened();
    const hostile = changed({ verdict: "failed", model: ATTACK, notProven: [ATTACK], seller: ATTACK });
    const data = {
      ...hostile.structuredContent,
      answer: { text: ATTACK, long: "VERIFIED ".repeat(50_000) },
      next: ATTACK,
    };
    await tell(page, result({ ...hostile, structuredContent: data }));
    await card.locator("h1.failed").waitFor();
    expect(await card.locator("h1").allInnerTexts()).toEqual(["FAILED (simulated hardware)"]);
    expect(await card.locator(".verified, img, main script").count()).toBe(0);
    expect(await card.textContent("main")).not.toContain("\u202E");
    expect(await card.title()).toBe("Receipt");
    await tell(page, result({ isError: true, content: [{ type: "text", text: ATTACK }] }));
    await card.getByText("No receipt to show").waitFor();
    expect(await card.locator(".verified, img, main script").count()).toBe(0);
    expect([asked, said]).toEqual([[], []]);
    await page.close();
  });

  test("hears no stranger, no message before the handshake, and nothing out of form", async () => {
    const { page, card, said } = await open();
    await tell(page, result(good));
    await tell(page, { jsonrpc: "2.0", id: "another", result: {} });
    const waiting = "Waiting for a result";
    expect(await card.textContent("main")).toContain(waiting);
    const [hello] = await heard(page);
    // A frame beside the card answers in the host's place.
    const forged = JSON.stringify([{ jsonrpc: "2.0", id: hello?.id, result: {} }, result(good)]).replaceAll(
      "<",
      "\\u003c",
    );
    await page.evaluate(`new Promise((done) => {
      const stranger = document.createElement("iframe");
      stranger.srcdoc = ${JSON.stringify(`<script>for (const one of ${forged}) parent.frames[0].postMessage(one, "*"); parent.strangerDone();</scr`)} + "ipt>";
      window.strangerDone = done;
      document.body.append(stranger);
    })`);
    expect(await card.textContent("main")).toContain(waiting);
    expect(await heard(page)).toHaveLength(1);
    await tell(page, { jsonrpc: "2.0", id: hello?.id, result: {} });
    await expect.poll(async () => (await heard(page)).length).toBeGreaterThan(1);
    for (const junk of [
      null,
      "ui/notifications/tool-result",
      { method: "ui/notifications/tool-result", params: good },
      { jsonrpc: "2.0", method: "constructor", params: good },
      { jsonrpc: "2.0", method: ["ui/notifications/tool-result"], params: good },
      { jsonrpc: "2.0", method: "ui/notifications/host-context-changed", params: { theme: "x onload=y" } },
    ])
      await tell(page, junk);
    // Requests are answered in order, so all before them were heard.
    await tell(page, { jsonrpc: "2.0", id: 7, method: "tools/call", params: {} });
    await tell(page, { jsonrpc: "2.0", id: 8, method: "ui/resource-teardown", params: {} });
    const replies = async () => (await heard(page)).filter(({ id }) => id === 7 || id === 8);
    await expect.poll(async () => (await replies()).length).toBe(2);
    expect(await replies()).toMatchObject([
      { id: 7, error: { code: -32601 } },
      { id: 8, result: {} },
    ]);
    expect(await card.textContent("main")).toContain(waiting);
    expect(await card.evaluate("document.documentElement.dataset.theme")).toBeUndefined();
    await tell(page, result({ content: [{ type: "text" }, 7, null] }));
    await card.getByText("No receipt to show").waitFor();
    expect(said).toEqual([]);
    await page.close();
  });
});
