import { findChromium, openChromium } from "../support/chromium.ts";
import { fillReceipts, openPlace } from "../dashboard/owner.ts";
import { median, row, type Line } from "./measure.ts";

/** Receipts that are stored, and that one page lists. */
const RECEIPTS = 1000;
/** The longest that a page may keep its reader waiting at a time, ms. */
const FRAME_MS = 200;

/** `proof402 open`: a list of 1,000 receipts made by the server, and the longest frame of the browser that shows it. */
export async function benchPages(rounds: number): Promise<Line[]> {
  const chromium = findChromium();
  const place = await openPlace();
  await fillReceipts(place.db, RECEIPTS, place.clock.now);
  const dashboard = await place.serve();
  try {
    if (chromium === null) return ["  No browser on this machine: nothing was measured."];
    const browser = await openChromium(chromium);
    try {
      const page = await browser.context.newPage();
      await page.goto(dashboard.url);
      await page.locator("main#main").waitFor();
      const at = /^\/[\w-]{22}/.exec(new URL(page.url()).pathname)?.[0] ?? "";
      // Long frames are told from 50 ms on; a page without one has kept its reader waiting for less.
      await page.addInitScript(`globalThis.longest = 0;
        new PerformanceObserver((list) => {
          for (const { duration } of list.getEntries()) globalThis.longest = Math.max(globalThis.longest, duration);
        }).observe({ type: "long-animation-frame", buffered: true });`);
      const [served, frames]: [number[], number[]] = [[], []];
      for (let round = 0; round < Math.min(rounds, 10); round += 1) {
        await page.goto(`${new URL(dashboard.url).origin}${at}/receipts?limit=${RECEIPTS}`);
        if ((await page.locator("tr[data-receipt]").count()) !== RECEIPTS) throw new Error("not all are listed");
        // To its end and back, as a reader does.
        await page.mouse.wheel(0, 100_000);
        await page.evaluate("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))");
        await page.evaluate("scrollTo(0, 0)");
        await page.evaluate("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))");
        frames.push(await page.evaluate<number>("globalThis.longest"));
        served.push(
          await page.evaluate<number>(
            "(({ responseEnd, requestStart }) => responseEnd - requestStart)(performance.getEntriesByType('navigation')[0])",
          ),
        );
      }
      return [
        row(`the server makes a page of ${RECEIPTS} receipts`, median(served)),
        row("the browser's longest frame with it", Math.max(...frames), { under: FRAME_MS }),
      ];
    } finally {
      await browser.close();
    }
  } finally {
    await place.stop();
  }
}
