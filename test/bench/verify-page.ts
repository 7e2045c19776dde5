import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { serializeReceipt } from "../../src/receipts/receipt.ts";
import { findChromium, openChromium } from "../support/chromium.ts";
import { makeFixture } from "../support/fixture-receipt.ts";
import { row, type Line } from "./measure.ts";

const PAGE = fileURLToPath(new URL("../../src/pages/verify.html", import.meta.url));
const FILES = 1000;
/** Sellers, each with an attestation of its own. */
const SELLERS = 25;
const MOST_BETWEEN_FRAMES_MS = 200;

/** A thousand receipts chosen at once on `verify.html`: until the last verdict stands, and the longest the page drew no frame. */
export async function benchVerifyPage(): Promise<Line[]> {
  const chromium = findChromium();
  if (chromium === null) return ["  no chromium on this machine"];
  const folder = await mkdtemp(join(tmpdir(), "proof402-bench-page-"));
  const browser = await openChromium(chromium);
  try {
    const receipts = await Promise.all(
      Array.from({ length: SELLERS }, async () => serializeReceipt((await makeFixture()).receipt)),
    );
    const paths = Array.from({ length: FILES }, (_, at) => join(folder, `${at}.json`));
    for (const [at, path] of paths.entries()) await writeFile(path, receipts[at % SELLERS] ?? "");
    const page = await browser.context.newPage();
    await page.goto(pathToFileURL(PAGE).href);
    await page.evaluate(`{
      window.longest = 0;
      let before = performance.now();
      const look = (now) => {
        window.longest = Math.max(window.longest, now - before);
        before = now;
        requestAnimationFrame(look);
      };
      requestAnimationFrame(look);
      // What the browser does to hand a thousand files over is none of the page's work.
      addEventListener("change", () => [before, longest] = [performance.now(), 0], { capture: true });
    }`);
    const began = performance.now();
    await page.setInputFiles("#files", paths);
    await page.locator('#results[data-shown="1"]').waitFor({ timeout: 600_000 });
    const took = performance.now() - began;
    const longest = await page.evaluate<number>("window.longest");
    return [
      row(`${FILES} receipts of ${SELLERS} sellers, judged and listed`, took),
      row("longest time between two frames meanwhile", longest, { under: MOST_BETWEEN_FRAMES_MS }),
    ];
  } finally {
    await browser.close();
    await rm(folder, { recursive: true });
  }
}
