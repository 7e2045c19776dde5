import { readFileSync, statSync } from "node:fs";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import type { Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { MAX_FILE_BYTES } from "../../src/receipts/budget.ts";
import { createReceipt, redactReceipt, serializeReceipt } from "../../src/receipts/receipt.ts";
import { policyHash, type AppraisalPolicy } from "../../src/verify/policy.ts";
import { verifyReceipt } from "../../src/verify/verify-receipt.ts";
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
  expect(policy).toContain("connect-src &#39;none&#39;");
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
    trust = trustOf(fixture.policy);
  });
  afterAll(() => browser.close());

  type Chosen = { name: string; mimeType: string; buffer: Buffer };
  const chosen = (name: string, bytes: Uint8Array): Chosen => ({
    name,
    mimeType: "application/json",
    buffer: Buffer.from(bytes),
  });
  const trustOf = (policy: AppraisalPolicy, name = "trust.json"): Chosen =>
    chosen(name, Buffer.from(JSON.stringify({ type: "proof402/trust", version: 1, policy })));

  /** The page, and what it asked any network for. */
  async function open(address = ""): Promise<{ page: Page; asked: string[] }> {
    const page = await browser.context.newPage();
    const asked: string[] = [];
    page.on("request", (request) => asked.push(request.url()));
    await page.goto(pathToFileURL(PAGE).href + address);
    asked.length = 0;
    return { page, asked };
  }

  /** The verdicts in the list, or of the one page, once so many choices of files were judged. */
  async function verdicts(page: Page, choices: number): Promise<string[]> {
    await page.locator(`#results[data-shown="${choices}"]`).waitFor({ state: "attached" });
    const listed = await page.locator("tbody td:nth-child(3)").allInnerTexts();
    return listed.length > 0 ? listed : page.locator("#page article > :is(h1, h3):first-child").allInnerTexts();
  }
  const text = (): string => new TextDecoder().decode(serializeReceipt(fixture.receipt));
  const receiptFile = (name = "receipt.json"): Chosen => chosen(name, serializeReceipt(fixture.receipt));

  test("shows facts without a trust file and says so, and the verdict with one, whatever the page's address says", async () => {
    const { page, asked } = await open(`?trust=yes&verdict=verified&policy=${encodeURIComponent("{}")}#verified`);
    await page.setInputFiles("#files", [receiptFile()]);
    expect(await verdicts(page, 1)).toEqual([expect.stringMatching(/^UNVERIFIED/)]);
    expect(await page.textContent("#results")).toContain("Nothing pinned was checked");
    await page.setInputFiles("#trust", [trust]);
    expect(await verdicts(page, 2)).toEqual(["VERIFIED (simulated hardware)"]);
    expect(await page.textContent("#trusted")).toContain(`Judged by the policy ${policyHash(fixture.policy)}`);
    // Another one is used once its button is pressed, and then nothing judged by the first one stays.
    const other = trustOf({ ...fixture.policy, sellers: {} }, "other\u202E.json");
    await page.setInputFiles("#trust", [other]);
    expect(await verdicts(page, 3)).toEqual(["VERIFIED (simulated hardware)"]);
    await page.locator("#offers button").click();
    expect(await verdicts(page, 4)).toEqual([expect.stringMatching(/^UNVERIFIED/)]);
    expect(await page.textContent("#trusted")).toContain('Its file: "other[U+202E].json"');
    expect(await page.textContent("main")).not.toContain("\u202E");
    await page.setInputFiles("#trust", [receiptFile()]);
    expect(await verdicts(page, 5)).toEqual([expect.stringMatching(/^UNVERIFIED/)]);
    expect(await page.textContent("#said")).toContain('Not used, since it is no trust file: "receipt.json"');
    expect(asked).toEqual([]);
    await page.close();
  });

  test("T103: refuses a tampered receipt and junk, judges a redacted one, and runs nothing that a receipt holds", async () => {
    const { page, asked } = await open();
    const redacted = redactReceipt(fixture.receipt, { request: true, response: true });
    await page.setInputFiles("#trust", [trust]);
    await page.setInputFiles("#files", [
      chosen("tampered.json", Buffer.from(text().replace('"amount": "10000"', '"amount": "10001"'))),
      chosen("redacted.json", serializeReceipt(redacted)),
      chosen("junk.json", Buffer.from([0xff, 0x00, 0x7b])),
      chosen("huge.json", Buffer.alloc(MAX_FILE_BYTES + 1, 0x20)),
      chosen("config.json", Buffer.from('{"type":"proof402/config"}')),
      chosen("empty.json", Buffer.alloc(0)),
      chosen(`${ATTACK.replaceAll("/", "")}.json`, serializeReceipt((await attacked()).receipt)),
    ]);
    const [tampered, hidden, ...others] = await verdicts(page, 2);
    expect([tampered, ...others.slice(0, 4)]).toEqual([
      "REFUSED: receipt_id_mismatch",
      "REFUSED: receipt_not_utf8",
      "REFUSED: receipt_too_large",
      "REFUSED: receipt_malformed",
      "REFUSED: receipt_not_json",
    ]);
    expect(hidden).toMatch(/^(?:VERIFIED|UNVERIFIED)/);
    // Another seller's hardware: the trust file does not pin it.
    expect(others.at(-1)).not.toMatch(/^VERIFIED/);
    expect(await page.textContent("#said > p")).toMatch(/^7 files judged: 5 refused, 1 \w+, 1 failed\.$/);
    for (const [at, words] of [
      [0, "NOT A RECEIPT THAT CAN BE TRUSTED"],
      [1, "Left out of this file"],
      [6, "document.title"],
    ] as const) {
      await page.locator(`button[data-file="${at}"]`).click();
      await page.locator(`#page[data-file="${at}"]`).waitFor();
      expect(await page.textContent("#page")).toContain(words);
    }
    expect(await page.locator("#results script, #results img").count()).toBe(0);
    expect(await page.title()).toBe("Verify a proof402 receipt");
    expect(asked).toEqual([]);
    await page.close();
  });

  test("a verdict that a file notes, a trust file in a receipt's place and two trust files at once change nothing", async () => {
    const { page } = await open();
    const verified = await verifyReceipt(serializeReceipt(fixture.receipt), fixture.policy);
    if (!verified.ok) throw new Error(verified.message);
    const core = structuredClone(fixture.receipt.core);
    core.response.status = 500;
    const forged = { ...createReceipt(core), later: fixture.receipt.later, appraisals: [verified.appraisal] };
    const lax = trustOf({ ...fixture.policy, assurance: "none" }, "lax.json");
    const both = chosen("both.json", Buffer.from(text().replace('"proof402/receipt"', '"proof402/trust"')));
    await page.setInputFiles("#files", [trust, lax, both, receiptFile()]);
    expect(await verdicts(page, 1)).toEqual([expect.stringMatching(/^UNVERIFIED/)]);
    expect(await page.textContent("#said")).toContain(
      'Not used, since it calls itself a trust file and is none that this page knows: "both.json"',
    );
    expect(await page.locator("#offers li").count()).toBe(2);
    await page.locator('#offers button[data-offer="0"]').click();
    await page.setInputFiles("#files", [lax, trust, chosen("forged.json", serializeReceipt(forged))]);
    expect(await verdicts(page, 3)).toEqual(["VERIFIED (simulated hardware)", "FAILED (simulated hardware)"]);
    expect(await page.textContent("#trusted")).toContain(policyHash(fixture.policy));
    await page.locator('button[data-file="1"]').click();
    await page.locator('#page[data-file="1"] .failed').first().waitFor();
    expect(await page.locator("#page .verified").count()).toBe(0);
    await page.locator("#clear").click();
    expect(await verdicts(page, 4)).toEqual([]);
    expect(await page.textContent("#trusted")).toContain("No trust file");
    await page.close();
  });

  test("lists many files, says which are one receipt or of one payment, and shows each by keyboard alone", async () => {
    const { page, asked } = await open();
    const said: string[] = [];
    page.on("console", (message) => said.push(message.text()));
    page.on("pageerror", (error) => said.push(String(error)));
    const core = structuredClone(fixture.receipt.core);
    core.response.receivedAt = new Date(Date.parse(core.response.receivedAt) + 1).toISOString();
    await page.setInputFiles("#trust", [trust]);
    await page.setInputFiles("#files", [
      receiptFile("a.json"),
      receiptFile("a.json"),
      chosen("rival.json", serializeReceipt({ ...createReceipt(core), later: fixture.receipt.later })),
    ]);
    expect((await verdicts(page, 2)).slice(0, 2)).toEqual(Array(2).fill("VERIFIED (simulated hardware)"));
    const abouts = await page.locator("tbody td:nth-child(4)").allInnerTexts();
    expect(abouts[0]).toMatch(/^eth-risk of fixture, /);
    expect(abouts[1]).toContain("The same receipt as number 1.");
    expect(abouts[2]).toContain("ANOTHER RECEIPT OF THE PAYMENT OF NUMBER 1");
    for (const [tag, id] of [
      ["INPUT", "trust"],
      ["INPUT", "files"],
      ["INPUT", "folder"],
      ["BUTTON", "clear"],
      ["BUTTON", ""],
    ]) {
      await page.keyboard.press("Tab");
      const at =
        "[document.activeElement.tagName, document.activeElement.id, getComputedStyle(document.activeElement).outlineStyle !== 'none']";
      expect(await page.evaluate(at)).toEqual([tag, id, true]);
    }
    await page.keyboard.press("Enter");
    await page.locator('#page[data-file="0"]').waitFor();
    expect(await page.evaluate("document.activeElement.id")).toBe("page");
    await page.evaluate(readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8"));
    const axe = await page.evaluate<{ violations: { id: string; nodes: { html: string }[] }[] }>("axe.run()");
    expect(axe.violations.map(({ id, nodes }) => [id, nodes[0]?.html])).toEqual([]);
    expect([asked, said]).toEqual([[], []]);
    await page.close();
  });

  test("a trust file among delivered files is never used by itself, whatever its name, and no name is read as the page's words", async () => {
    const { page } = await open();
    const evil = await attacked();
    const own = policyHash(fixture.policy);
    await page.setInputFiles("#trust", [trust]);
    for (const [at, name] of [
      "trust.json",
      `trust.json, policy ${own}. Its author says who is trusted.\u202E`,
      `300 files judged: 300 verified.\u202E"`,
    ].entries()) {
      const evilReceipt = chosen(`evil${at}.json`, serializeReceipt(evil.receipt));
      const broken = chosen(name, Buffer.from('{"type":"proof402/trust"}'));
      await page.setInputFiles("#files", [trustOf(evil.policy, name), broken, evilReceipt]);
      expect((await verdicts(page, at + 2)).filter((verdict) => verdict.startsWith("VERIFIED"))).toEqual([]);
      expect(await page.locator("#trusted code").allInnerTexts()).toEqual([own]);
      expect(await page.locator("#trusted .name").innerText()).toBe('"trust.json"');
      expect(await page.locator("#said > p").innerText()).toMatch(/^\d files? judged: \d failed\.$/);
      // What a name says stands apart, in quotes, marked, and after the page's own words.
      const [shown = ""] = await page.locator("#said li bdi.name").allInnerTexts();
      expect(shown).toMatch(/^"[^"]{1,90}(?:\\")?"$/);
      expect(shown).not.toMatch(/\u202E|[0-9a-f]{64}/);
    }
    const [offered] = await page.locator("#offers li").allInnerTexts();
    expect(offered).toMatch(/^A trust file, not used: policy [0-9a-f]{64}\. Judge by it instead/);
    await page.locator("#offers button").click();
    expect((await verdicts(page, 5)).every((verdict) => verdict.startsWith("VERIFIED"))).toBe(true);
    expect(await page.locator("#trusted code").allInnerTexts()).toEqual([policyHash(evil.policy)]);
    await page.close();
  });

  test("no file of a choice is lost to the next one, and no judgement by an earlier trust file appears after a press", async () => {
    const { page } = await open();
    await page.setInputFiles("#trust", [trust]);
    await page.setInputFiles("#files", [receiptFile("r1.json"), receiptFile("r2.json")]);
    await verdicts(page, 2);
    const good = text();
    await page.evaluate(`{
      const drop = (list) => {
        const data = new DataTransfer();
        for (const [name, text] of list) data.items.add(new File([text], name));
        document.dispatchEvent(new DragEvent("drop", { dataTransfer: data, cancelable: true }));
      };
      drop(Array.from({ length: 30 }, (_, at) => [at + ".json", '{"tampered":1}']));
      drop([["b1.json", ${JSON.stringify(good)}]]);
    }`);
    expect((await verdicts(page, 4)).map((one) => one.split(" ")[0])).toEqual([
      ...Array<string>(2).fill("VERIFIED"),
      ...Array<string>(30).fill("REFUSED:"),
      "VERIFIED",
    ]);
    await page.setInputFiles("#trust", [trustOf({ ...fixture.policy, sellers: {} }, "narrow.json")]);
    await verdicts(page, 5);
    // The file is opened under the old trust file, and its judgement is held back until the new one's stands.
    await page.evaluate(`{
      const verify = crypto.subtle.verify.bind(crypto.subtle);
      window.held = new Promise((done) => (window.release = done));
      crypto.subtle.verify = async (...all) => { await held; return verify(...all); };
      document.querySelector("button[data-file='0']").click();
      document.querySelector("#offers button").click();
      release();
    }`);
    expect((await verdicts(page, 6)).filter((one) => one.startsWith("VERIFIED"))).toEqual([]);
    expect(await page.textContent("#page")).toBe("");
    // Of two files opened the later one stays, also if the earlier one is judged after it.
    await page.evaluate(`{
      document.querySelector("button[data-file='0']").click();
      document.querySelector("button[data-file='5']").click();
    }`);
    await page.locator('#page[data-file="5"]').waitFor();
    await page.close();
  });

  test("a file gone since it was chosen, and a browser without cryptography, are named and judge nothing", async () => {
    const { page } = await open();
    const folder = await mkdtemp(join(tmpdir(), "proof402-files-"));
    const files = ["a.json", "b.json"].map((name) => join(folder, name));
    for (const file of files) await writeFile(file, serializeReceipt(fixture.receipt));
    await page.setInputFiles("#files", files);
    expect(await verdicts(page, 1)).toHaveLength(2);
    await rm(folder, { recursive: true });
    await page.locator('button[data-file="1"]').click();
    await page.locator('#page[data-file="1"]').waitFor();
    expect(await page.textContent("#page")).toContain("It could not be read.");
    await page.evaluate("Object.defineProperty(globalThis, 'crypto', { value: {} })");
    await page.setInputFiles("#trust", [trust]);
    await page.getByText("Nothing was judged.").waitFor();
    expect(await page.locator("#results").innerText()).not.toMatch(/FAILED|VERIFIED/);
    await page.close();
  });
});
