import { readFileSync, statSync } from "node:fs";
import { fileURLToPath, pathToFileURL } from "node:url";
import type { Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { redactReceipt, serializeReceipt } from "../../src/receipts/receipt.ts";
import { findChromium, openChromium } from "../support/chromium.ts";
import { makeFixture, type Fixture } from "../support/fixture-receipt.ts";

const PAGE = fileURLToPath(new URL("../../dist/src/pages/verify.html", import.meta.url));
const chromium = findChromium();

/** What a page could do to its reader, as text of a receipt. */
const ATTACK = `"'><script>document.title="owned"</script><img src=x onerror="document.title='owned'">`;
const attacked = (): Promise<Fixture> =>
  makeFixture({
    response: (id) =>
      JSON.stringify({
        model_name: "eth-risk",
        id,
        outputs: [{ name: "label", datatype: "BYTES", shape: [1], data: [`${ATTACK}\u202Eend`] }],
      }),
  });

test("verify.html is one small file with a strict policy, and names nothing to load", () => {
  expect(statSync(PAGE).size).toBeLessThan(600_000);
  const text = readFileSync(PAGE, "utf8");
  const policy = /http-equiv="Content-Security-Policy" content="([^"]*)"/.exec(text)?.[1] ?? "";
  expect(policy).toMatch(
    /^default-src &#39;none&#39;; style-src &#39;sha256-\S+&#39;; script-src &#39;sha256-\S+&#39;;/,
  );
  expect(policy).not.toContain("unsafe");
  expect(text.split("<script").length - 1).toBe(1);
  const markup = text.slice(0, text.indexOf("<script"));
  expect(markup).not.toMatch(/\b(?:src|href)=/);
});

describe.skipIf(chromium === null)("verify.html in a browser, from the disk", () => {
  let browser: Awaited<ReturnType<typeof openChromium>>;
  let fixture: Fixture;
  let trust: Chosen;
  beforeAll(async () => {
    browser = await openChromium(chromium ?? "");
    fixture = await makeFixture();
    const text = JSON.stringify({ type: "proof402/trust", version: 1, policy: fixture.policy });
    trust = chosen("trust.json", Buffer.from(text));
  });
  afterAll(() => browser.close());

  type Chosen = { name: string; mimeType: string; buffer: Buffer };
  const chosen = (name: string, bytes: Uint8Array): Chosen => ({
    name,
    mimeType: "application/json",
    buffer: Buffer.from(bytes),
  });

  /** The page, and what it asked any network for. */
  async function open(): Promise<{ page: Page; asked: string[] }> {
    const page = await browser.context.newPage();
    const asked: string[] = [];
    page.on("request", (request) => asked.push(request.url()));
    await page.goto(pathToFileURL(PAGE).href);
    asked.length = 0;
    return { page, asked };
  }

  /** The verdicts shown once so many choices of files were judged. */
  async function verdicts(page: Page, choices: number): Promise<string[]> {
    await page.locator(`#results[data-shown="${choices + 1}"]`).waitFor();
    return page.locator("article > h1").allInnerTexts();
  }

  test("shows facts without a trust file and says so, and the verdict with one", async () => {
    const { page, asked } = await open();
    const receipt = chosen("receipt.json", serializeReceipt(fixture.receipt));
    await page.setInputFiles("#files", [receipt]);
    expect(await verdicts(page, 1)).toEqual([expect.stringMatching(/^UNVERIFIED/)]);
    expect(await page.textContent("#results")).toContain("Nothing pinned was checked");
    await page.setInputFiles("#files", [trust]);
    expect(await verdicts(page, 2)).toEqual(["VERIFIED (simulated hardware)"]);
    expect(await page.textContent("#trusted")).toContain("Judged by trust.json");
    expect(asked).toEqual([]);
    await page.close();
  });

  test("T103: refuses a tampered receipt and junk, judges a redacted one, and runs nothing that a receipt holds", async () => {
    const { page, asked } = await open();
    const bytes = serializeReceipt(fixture.receipt);
    const text = new TextDecoder().decode(bytes);
    const redacted = redactReceipt(fixture.receipt, { request: true, response: true });
    await page.setInputFiles("#files", [
      trust,
      chosen("tampered.json", Buffer.from(text.replace('"amount": "10000"', '"amount": "10001"'))),
      chosen("redacted.json", serializeReceipt(redacted)),
      chosen("junk.json", Buffer.from([0xff, 0x00, 0x7b])),
      chosen(`${ATTACK.replaceAll("/", "")}.json`, serializeReceipt((await attacked()).receipt)),
    ]);
    const [tampered, hidden, junk, attack] = await verdicts(page, 1);
    expect([tampered, junk]).toEqual(Array.from({ length: 2 }, () => "NOT A RECEIPT THAT CAN BE TRUSTED"));
    expect(hidden).toMatch(/^(?:VERIFIED|UNVERIFIED)/);
    // Another seller's hardware: the trust file does not pin it.
    expect(attack).not.toMatch(/^VERIFIED/);
    const shown = (await page.textContent("#results")) ?? "";
    for (const words of ["receipt_id_mismatch", "receipt_not_utf8", "Left out of this file", "document.title"])
      expect(shown).toContain(words);
    expect(await page.locator("#results script, #results img").count()).toBe(0);
    expect(await page.title()).toBe("Verify a proof402 receipt");
    expect(asked).toEqual([]);
    await page.close();
  });
});
