import { fileURLToPath } from "node:url";
import { build } from "esbuild";
import { describe, expect, test } from "vitest";
import { serveLocally } from "../../src/devnet/index.ts";
import { fromUtf8 } from "../../src/evidence/bytes.ts";
import type * as Verify from "../../src/verify/index.ts";
import { serializeReceipt } from "../../src/receipts/receipt.ts";
import { findChromium, openChromium } from "../support/chromium.ts";
import { makeFixture } from "../support/fixture-receipt.ts";

const bundle = await build({
  entryPoints: [fileURLToPath(new URL("../../src/verify/index.ts", import.meta.url))],
  bundle: true,
  platform: "browser",
  format: "iife",
  globalName: "proof402",
  metafile: true,
  write: false,
});
const script = bundle.outputFiles[0]?.text ?? "";

const browserPath = findChromium();

describe("proof402/verify for the browser", () => {
  test("bundles without any module of Node", () => {
    const modules = Object.keys(bundle.metafile.inputs);
    expect(modules.length).toBeGreaterThan(20);
    expect(modules.filter((path) => /^node:|browser-external/.test(path))).toEqual([]);
    expect(script).not.toMatch(/require\("(?:node:)?(?:crypto|fs|buffer|stream)"\)/);
  });

  test.skipIf(browserPath === null)("verifies a receipt, and refuses an altered one, in a real browser", async () => {
    const { receipt, policy, evaluateAt } = await makeFixture();
    const text = fromUtf8(serializeReceipt(receipt));
    const browser = await openChromium(browserPath ?? "");
    // WebCrypto exists in secure contexts only, and a page from this machine is one.
    const served = await serveLocally(
      () => new Response("<!doctype html>", { headers: { "content-type": "text/html" } }),
    );
    try {
      const page = await browser.context.newPage();
      await page.goto(served.origin);
      await page.addScriptTag({ content: script });
      const judge = (file: string): Promise<string> =>
        page.evaluate(
          async (input) => {
            const { verifyReceipt } = (globalThis as unknown as { proof402: typeof Verify }).proof402;
            const verified = await verifyReceipt(input.file, input.policy, { at: new Date(input.at) });
            return verified.ok ? verified.appraisal.verdict : verified.code;
          },
          { file, policy, at: evaluateAt.toISOString() },
        );
      expect(await judge(text)).toBe("verified");
      expect(await judge(text.replace('"amount": "10000"', '"amount": "10001"'))).toBe("receipt_id_mismatch");
      expect(await judge("{")).toBe("receipt_not_json");
    } finally {
      await browser.close();
      await served.stop();
    }
  });
});
