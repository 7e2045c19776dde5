import { mkdirSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import type { Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Dashboard } from "../../src/dashboard/serve.ts";
import { addDecision } from "../../src/receipts/decisions.ts";
import type { Receipt } from "../../src/receipts/schema.ts";
import { appendAppraisal } from "../../src/receipts/store.ts";
import { immediate } from "../../src/storage/migrations.ts";
import { eventually } from "../support/eventually.ts";
import { findChromium, openChromium } from "../support/chromium.ts";
import { appraisal, decisionContent } from "../support/receipt-core.ts";
import { fillReceipts, HOSTILE, openPlace, stateOf, type Place } from "./owner.ts";

const chromium = findChromium();
const require = createRequire(import.meta.url);
/** Kept by CI; no part of the repository. */
const SHOTS = join(import.meta.dirname, "../../artifacts/dashboard");

type Found = { violations: { id: string; nodes: { html: string }[] }[]; passes: unknown[] };

describe.skipIf(chromium === null)("the owner's pages in a browser", () => {
  let browser: Awaited<ReturnType<typeof openChromium>>;
  let place: Place;
  let dashboard: Dashboard;
  let receipts: Receipt[];
  let approval: string;
  beforeAll(async () => {
    browser = await openChromium(chromium ?? "");
    place = await openPlace();
    receipts = await fillReceipts(place.db, 60, place.clock.now);
    const [one] = receipts;
    await immediate(place.db, (tx) =>
      addDecision(tx, { ...decisionContent(one?.id ?? "", new Date(place.clock.now)), action: { text: HOSTILE } }),
    );
    const { asset, network } = place.config.payment.assets[0] ?? { asset: "0x", network: "" };
    const hour = 3_600_000;
    const start = Math.floor(place.clock.now / hour) * hour;
    await place.db
      .insertInto("spend")
      .values([0, 1, 2, 30].map((ago) => ({ network, asset, span: hour, start: start - ago * hour, used: "70000" })))
      .execute();
    await place.db
      .insertInto("seller_holds")
      .values({ seller_id: "honest", receipt_id: one?.id ?? "", reason: "a reason", at: 1, released_at: null })
      .execute();
    approval = await place.ask({ model: HOSTILE });
    dashboard = await place.serve({ allowApprovals: true });
    mkdirSync(SHOTS, { recursive: true });
  });
  afterAll(async () => {
    await browser.close();
    await place.stop();
  });

  /** A page that the printed address leads to, and what it said on the console and asked other origins for. */
  async function open(
    address = dashboard.url,
  ): Promise<{ page: Page; said: string[]; go: (path: string) => Promise<void> }> {
    const page = await browser.context.newPage();
    const said: string[] = [];
    const { origin } = new URL(address);
    page.on("request", (request) => {
      if (!request.url().startsWith(`${origin}/`)) said.push(request.url());
    });
    page.on("console", (message) => said.push(message.text()));
    page.on("pageerror", (error) => said.push(String(error)));
    await page.goto(address);
    await page.locator("main#main").waitFor();
    const at = /^\/[\w-]{22}/.exec(new URL(page.url()).pathname)?.[0] ?? "";
    return { page, said, go: async (path) => void (await page.goto(`${origin}${at}${path}`)) };
  }

  const PAGES = [
    "/receipts",
    "receipt",
    "/approvals",
    "approval",
    "/spending",
    "/times",
    "/sellers",
    "/decisions",
    "decision",
    "/actions",
    "/channels",
  ];

  test("have no violation that axe finds in light or dark colours, say nothing, and ask no other origin", async () => {
    const { page, said, go } = await open();
    const axe = readFileSync(require.resolve("axe-core/axe.min.js"), "utf8");
    const decision = (await place.db.selectFrom("decisions").select("id").executeTakeFirstOrThrow()).id;
    const places: Record<string, string> = {
      receipt: `/receipts/${receipts[9]?.id}`,
      approval: `/approvals/${approval}`,
      decision: `/decisions/${decision}`,
    };
    for (const name of PAGES) {
      await page.emulateMedia({ colorScheme: "light" });
      await go(places[name] ?? name);
      expect(await page.title(), name).toMatch(/ - proof402$/);
      await page.evaluate("document.querySelectorAll('details').forEach((one) => (one.open = true))");
      await page.evaluate(axe);
      // What else axe looks at is the same in both.
      for (const [scheme, rules] of [
        ["light", "{}"],
        ["dark", '{ runOnly: ["color-contrast"] }'],
      ] as const) {
        await page.emulateMedia({ colorScheme: scheme });
        const found = await page.evaluate<Found>(`axe.run(${rules})`);
        expect(
          found.violations.map(({ id, nodes }) => [id, nodes[0]?.html]),
          `${name}, ${scheme}`,
        ).toEqual([]);
        expect(found.passes.length).toBeGreaterThan(0);
        await page.screenshot({ path: join(SHOTS, `${name.replace("/", "")}-${scheme}.png`) });
      }
    }
    expect(said).toEqual([]);
    await page.close();
  });

  test("T180: take the token out of the address, and run nothing that a seller wrote", async () => {
    const { page, said, go } = await open();
    expect(page.url()).not.toContain(dashboard.url.split("#")[1]);
    expect(await page.evaluate("history.length")).toBeLessThanOrEqual(2);
    expect(await page.evaluate("document.cookie")).toBe("");
    for (const path of ["/receipts?limit=1000", `/receipts/${receipts[9]?.id}`, `/approvals/${approval}`]) {
      await go(path);
      expect(await page.title()).not.toBe("owned");
      expect(await page.locator("img, main script").count()).toBe(0);
      expect(await page.textContent("main")).toContain("document.title");
    }
    expect(said).toEqual([]);
    await page.close();
  });

  test("draw spending against its cap, and say the same as a table", async () => {
    const { page, go } = await open();
    await go("/spending");
    expect(await page.locator("figure canvas").count()).toBe(2);
    // A picture with more than one colour in it.
    expect(
      await page.evaluate<number>(`(() => {
        const canvas = document.querySelector("figure canvas");
        const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
        const seen = new Set();
        for (let at = 0; at < data.length; at += 4) if (data[at + 3] > 200) seen.add(data.slice(at, at + 3).join());
        return seen.size;
      })()`),
    ).toBeGreaterThan(2);
    await page.locator("figure summary").first().click();
    expect(await page.locator("figure details table").first().innerText()).toContain("0.07 USDC ($0.07)");
    await page.close();
  });

  test("go by keyboard alone from the printed address to a yes", async () => {
    const id = await place.ask();
    const { page } = await open();
    const focused = (): Promise<string> => page.evaluate("document.activeElement.textContent.trim()");
    /** Presses Tab until this has the focus. */
    const tabTo = async (words: string): Promise<void> => {
      for (let pressed = 0; pressed < 80; pressed += 1) {
        await page.keyboard.press("Tab");
        if ((await focused()) === words) return;
      }
      throw new Error(`no Tab leads to ${words}`);
    };
    await tabTo("Skip to the content");
    await tabTo("Approvals");
    await page.keyboard.press("Enter");
    await page.waitForURL(/\/approvals$/);
    await tabTo(id);
    await page.keyboard.press("Enter");
    await page.waitForURL(new RegExp(`/approvals/${id}$`));
    await tabTo("Approve this payment");
    await page.keyboard.press("Enter");
    await page.locator("[data-live] .approved").waitFor();
    expect(await stateOf(place.db, id)).toBe("approved");
    await page.close();
  });

  test("a payment's own address leads to it, and a double click answers it once", async () => {
    const id = await place.ask();
    const { page } = await open(dashboard.approvalUrl(id));
    expect(new URL(page.url()).pathname).toMatch(new RegExp(`^/[\\w-]{22}/approvals/${id}$`));
    await page.getByRole("button", { name: "Decline" }).dblclick();
    await page.locator("[data-live] .declined").waitFor();
    expect(await stateOf(place.db, id)).toBe("declined");
    expect(await page.locator("button").count()).toBe(0);
    await page.close();
  });

  test("show a verdict and a payment that another process stores, without a reload", async () => {
    const { page, said, go } = await open();
    await go("/receipts");
    await page.evaluate("window.kept = true");
    await page.locator("html[data-listening]").waitFor({ state: "attached" });
    const pending = receipts.findLast(({ appraisals }) => appraisals[0]?.verdict === "pending");
    const row = page.locator(`[data-receipt="${pending?.id}"]`);
    expect(await row.innerText()).toContain("pending");
    await row.locator("a").focus();
    await immediate(place.db, (tx) => appendAppraisal(tx, pending?.id ?? "", appraisal({ verdict: "failed" })));
    await row.locator(".failed").waitFor();
    const [fresh] = await fillReceipts(place.db, 1, place.clock.now + 1000);
    await page.locator(`[data-receipt="${fresh?.id}"]`).waitFor();
    // The reader's place stays, too.
    expect(await page.evaluate("document.activeElement.getAttribute('href')")).toContain(pending?.id);
    expect(await page.evaluate("window.kept")).toBe(true);
    await go("/approvals");
    await page.locator("html[data-listening]").waitFor({ state: "attached" });
    const id = await place.ask();
    await page.getByRole("link", { name: id }).waitFor();
    expect(said).toEqual([]);
    await page.close();
  });

  test("load in seven tabs at once, each fresh, and hold no connection while they are hidden", async () => {
    const { page: first, go } = await open();
    await go("/receipts");
    const tabs = [first];
    while (tabs.length < 7) {
      const tab = await browser.context.newPage();
      await tab.goto(first.url());
      await tab.locator("html[data-listening]").waitFor({ state: "attached" });
      tabs.push(tab);
    }
    const byThemselves = await Promise.all(tabs.map((tab) => tab.locator('[data-listening="by itself"]').count()));
    expect(byThemselves).toEqual([0, 0, 0, 0, 1, 1, 1]);
    const [fresh] = await fillReceipts(place.db, 1, place.clock.now + 2000);
    for (const tab of tabs) await tab.locator(`[data-receipt="${fresh?.id}"]`).waitFor();
    const show = (tab: Page, hidden: boolean): Promise<unknown> =>
      tab.evaluate(`Object.defineProperty(document, "hidden", { configurable: true, value: ${hidden} });
        document.dispatchEvent(new Event("visibilitychange"))`);
    await show(first, true);
    await first.locator("html:not([data-listening])").waitFor({ state: "attached" });
    const [missed] = await fillReceipts(place.db, 1, place.clock.now + 3000);
    // The connection that the hidden one gave back is another's now.
    await eventually(async () => {
      await show(tabs[6] as Page, false);
      await tabs[6]?.locator('[data-listening=""]').waitFor({ state: "attached", timeout: 1000 });
    });
    await show(first, false);
    await first.locator(`[data-receipt="${missed?.id}"]`).waitFor();
    for (const tab of tabs) await tab.close();
  });

  test("go on by an address that this browser has used, and say so in one that has no session", async () => {
    const used = dashboard.url;
    await (await open(used)).page.close();
    const { page } = await open(used);
    expect(new URL(page.url()).pathname).toMatch(/\/receipts$/);
    await browser.context.clearCookies();
    await page.goto(used);
    await page.getByText("An address signs in once").waitFor();
    expect(page.url()).toBe(`${new URL(used).origin}/`);
    await page.close();
  });

  test("print without their navigation, on A4", async () => {
    const { page, go } = await open();
    await go("/receipts");
    await page.emulateMedia({ media: "print" });
    expect(await page.locator("header").isVisible()).toBe(false);
    expect(await page.locator("table").isVisible()).toBe(true);
    const pdf = await page.pdf({ preferCSSPageSize: true });
    expect(pdf.toString("latin1")).toMatch(/\/MediaBox \[0 0 59[45][.\d]* 84[12][.\d]*\]/);
    await page.close();
  });
});
