import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { fileURLToPath, pathToFileURL } from "node:url";
import type { Page } from "playwright-core";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { reportPage } from "../../src/pages/report-page.ts";
import { serializeReport } from "../../src/receipts/report-schema.ts";
import type { Receipt } from "../../src/receipts/schema.ts";
import { serializeReceipt } from "../../src/receipts/receipt.ts";
import { verifyReport } from "../../src/verify/verify-report.ts";
import { findChromium, openChromium } from "../support/chromium.ts";
import { openDecisionWorld, type DecisionWorld } from "../support/decision-buyer.ts";

const VERIFY_PAGE = fileURLToPath(new URL("../../dist/src/pages/verify.html", import.meta.url));
const require = createRequire(import.meta.url);
const chromium = findChromium();
/** What a page could do to its reader, as words of a decision. */
const ATTACK = `"'><script>document.title="owned"</script><img src=x onerror="document.title='owned'">`;

let world: DecisionWorld;
let bytes: Uint8Array;
let page: string;
beforeAll(async () => {
  world = await openDecisionWorld(2);
  const [a, b] = world.receipts.map(({ id }) => id) as [string, string];
  const decide = (subject: string, receipts: string[]) =>
    world.buyer.decide({
      purpose: "payroll",
      subject,
      receipts,
      action: { pay: "1250.00", to: "DE89 3704 0044 0532 0130 00", note: "x".repeat(300) },
      outcome: `approved\n${"a long reason ".repeat(20)}`,
      person: "Ada Lovelace",
      second: "Grace Hopper",
      program: "payroll 1.0",
    });
  const from = new Date("2090-01-01");
  world.setTime(from);
  await decide("November, line 1", [a]);
  await decide(ATTACK, [a, b]);
  const to = new Date("2090-02-01");
  world.setTime(to);
  bytes = serializeReport(await world.buyer.report({ from, to }));
  const judged = await verifyReport(bytes, world.policy);
  if (!judged.ok) throw new Error(judged.message);
  page = await reportPage(judged, { judgedBy: "a test", knows: () => true });
});
afterAll(() => world.close());

test("shows the verdict, each decision with its persons, action, receipts and layers, and loads nothing", () => {
  expect(page).toContain('<h1 class="verified">Decisions: VERIFIED (simulated hardware)</h1>');
  for (const words of [
    "<bdi>Ada Lovelace</bdi> and <bdi>Grace Hopper</bdi>, with the program <bdi>payroll 1.0</bdi>",
    '<th scope="row"><bdi>November, line 1</bdi></th>',
    "<td><bdi>approved",
    "DE89 3704 0044 0532 0130 00",
    "Layers pass: platform, code, key",
    "entries cut off at the end of the log would not show",
    ...world.receipts.map(({ id }) => `<article id="${id}">`),
  ])
    expect(page).toContain(words);
  expect(page).not.toMatch(/<script|<img|<[^>]*\bsrc=|href="(?!#)/);
  expect(page).toContain("&lt;script&gt;");
});

test("shows what is wrong with a report", async () => {
  const report = JSON.parse(new TextDecoder().decode(bytes)) as { receipts: unknown[] };
  report.receipts.pop();
  const judged = await verifyReport(new TextEncoder().encode(JSON.stringify(report)), world.policy);
  if (!judged.ok) throw new Error(judged.message);
  const shown = await reportPage(judged, { judgedBy: "a test", knows: () => true });
  expect(shown).toContain('<h1 class="failed">Decisions: FAILED');
  for (const words of ["<h2>Problems</h2>", "report_altered", "receipt_missing", "not readable"])
    expect(shown).toContain(words);
});

describe.skipIf(chromium === null)("in a browser", () => {
  let browser: Awaited<ReturnType<typeof openChromium>>;
  beforeAll(async () => {
    browser = await openChromium(chromium ?? "");
    await writeFile(join(world.folder, "report.html"), page);
  });
  afterAll(() => browser.close());

  /** A page from the disk, and what it said on the console and asked any network for. */
  async function open(path: string): Promise<{ page: Page; said: string[] }> {
    const opened = await browser.context.newPage();
    const said: string[] = [];
    await opened.goto(pathToFileURL(path).href);
    opened.on("request", (request) => said.push(request.url()));
    opened.on("console", (message) => said.push(message.text()));
    opened.on("pageerror", (error) => said.push(String(error)));
    await opened.reload();
    return { page: opened, said: said.filter((line) => !line.startsWith("file:")) };
  }

  test.each(["light", "dark"] as const)(
    "has no violation that axe finds, in %s colours, and says nothing",
    async (colorScheme) => {
      const opened = await open(join(world.folder, "report.html"));
      await opened.page.emulateMedia({ colorScheme });
      await opened.page.evaluate("document.querySelectorAll('details').forEach((one) => (one.open = true))");
      await opened.page.evaluate(readFileSync(require.resolve("axe-core/axe.min.js"), "utf8"));
      const found = await opened.page.evaluate<{
        violations: { id: string; nodes: { html: string }[] }[];
        passes: unknown[];
      }>("axe.run()");
      expect(found.violations.map(({ id, nodes }) => [id, nodes[0]?.html])).toEqual([]);
      expect(found.passes.length).toBeGreaterThan(10);
      expect(opened.said).toEqual([]);
      expect(await opened.page.title()).toMatch(/^Decisions /);
      await opened.page.close();
    },
  );

  test("prints on A4: nothing is wider than the sheet", async () => {
    const opened = await open(join(world.folder, "report.html"));
    const pdf = await opened.page.pdf({ preferCSSPageSize: true });
    expect(pdf.toString("latin1")).toMatch(/\/MediaBox \[0 0 59[45][.\d]* 84[12][.\d]*\]/);
    // The sheet without its margins, at 96 dots an inch.
    await opened.page.setViewportSize({ width: Math.floor((174 / 25.4) * 96), height: 900 });
    await opened.page.emulateMedia({ media: "print" });
    expect(await opened.page.evaluate("document.documentElement.scrollWidth - innerWidth")).toBeLessThanOrEqual(0);
    // What a reader opens on the screen stands on paper, too, and no box cuts its text off.
    const lost = await opened.page.evaluate<string[]>(`[...document.body.querySelectorAll("*")]
      .filter((one) => {
        const { overflowX, overflowY } = getComputedStyle(one);
        const cut = (overflow, inside, outside) => overflow !== "visible" && inside > outside + 1;
        return !one.checkVisibility() || cut(overflowX, one.scrollWidth, one.clientWidth) || cut(overflowY, one.scrollHeight, one.clientHeight);
      })
      .map(({ outerHTML }) => outerHTML.slice(0, 80))`);
    expect(lost).toEqual([]);
    await opened.page.close();
  });

  test("is read by keyboard alone: each link, check and action is reached in order, seen, and opened", async () => {
    const opened = await open(join(world.folder, "report.html"));
    const reachable = await opened.page.evaluate<string[]>(`{
      window.stops = [...document.querySelectorAll("a[href], summary, [tabindex]")]
        .filter((one) => one.checkVisibility());
      stops.map(({ tagName }) => tagName);
    }`);
    expect(reachable).toEqual(expect.arrayContaining(["A", "SUMMARY", "PRE"]));
    const outlined: boolean[] = [];
    for (const at of reachable.keys()) {
      await opened.page.keyboard.press("Tab");
      outlined.push(
        await opened.page.evaluate<boolean>(
          `document.activeElement === stops[${at}] && getComputedStyle(document.activeElement).outlineStyle !== "none"`,
        ),
      );
    }
    expect(outlined).toEqual(reachable.map(() => true));
    const enter = async (selector: string): Promise<void> => opened.page.locator(selector).first().press("Enter");
    await enter("summary");
    expect(await opened.page.evaluate("document.querySelectorAll('details[open]').length")).toBe(1);
    await enter("td a");
    expect(await opened.page.evaluate("document.querySelector(':target').className")).toBe("decision");
    expect(opened.said).toEqual([]);
    await opened.page.close();
  });

  test("verify.html judges a report by a trust file, and names what a changed one has wrong", async () => {
    const opened = await open(VERIFY_PAGE);
    const file = (name: string, buffer: Buffer) => ({ name, mimeType: "application/json", buffer });
    const text = new TextDecoder().decode(bytes);
    await opened.page.setInputFiles("#trust", file("trust.json", readFileSync(world.trust)));
    await opened.page.setInputFiles("#files", [
      file("report.json", Buffer.from(bytes)),
      file("changed.json", Buffer.from(text.replace("Ada Lovelace", "Ada Lovelock"))),
      file("twice.json", Buffer.from('{"type":"proof402/report","type":"proof402/report"}')),
      file("receipt.json", Buffer.from(serializeReceipt(world.receipts[0] as Receipt))),
    ]);
    await opened.page.locator('#results[data-shown="2"]').waitFor();
    expect(await opened.page.locator("tbody td:nth-child(3)").allInnerTexts()).toEqual([
      "VERIFIED (simulated hardware)",
      "FAILED (simulated hardware)",
      "REFUSED: report_malformed",
      "VERIFIED (simulated hardware)",
    ]);
    // One payment justifies one action, also if reports alone tell of it.
    const abouts = await opened.page.locator("tbody td:nth-child(4)").allInnerTexts();
    expect(abouts[0]).not.toContain("NUMBER");
    expect(abouts[1]).toContain("RESTS ON A PAYMENT THAT THE REPORT OF NUMBER 1 RESTS ON");
    expect(abouts[3]).toContain("Of one payment with number 1");
    await opened.page.locator('button[data-file="1"]').click();
    await opened.page.locator('#page[data-file="1"]').waitFor();
    expect(await opened.page.locator("#page h1").allInnerTexts()).toEqual(["Decisions: FAILED (simulated hardware)"]);
    expect(await opened.page.textContent("#results")).toContain("decision_altered");
    expect(opened.said).toEqual([]);
    await opened.page.close();
  });
});
