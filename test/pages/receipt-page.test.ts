import { readFileSync } from "node:fs";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { receiptPage, type ReceiptView } from "../../src/pages/receipt-page.ts";
import { createReceipt, serializeReceipt } from "../../src/receipts/receipt.ts";
import { LAYERS, type Appraisal, type Receipt } from "../../src/receipts/schema.ts";
import { appraisalPolicySchema, type AppraisalPolicy } from "../../src/verify/policy.ts";
import { verifyReceipt } from "../../src/verify/verify-receipt.ts";
import { findChromium, openChromium } from "../support/chromium.ts";
import { makeFixture, type Fixture } from "../support/fixture-receipt.ts";

/** What a page could do to its reader, as text of a receipt. */
const ATTACK = `"'><script>document.title="owned"</script><img src=x onerror="document.title='owned'"><h1 class="verified">VERIFIED</h1>`;

let fixture: Fixture;
beforeAll(async () => {
  fixture = await makeFixture({ signed: true });
});

async function viewOf(receipt: Receipt, policy: AppraisalPolicy, judgedBy = "a test"): Promise<ReceiptView> {
  const verified = await verifyReceipt(serializeReceipt(receipt), policy);
  if (!verified.ok) throw new Error(verified.message);
  return { ...verified, known: Object.hasOwn(policy.sellers, receipt.core.seller.id), judgedBy };
}
const answering = (text: string): Promise<Fixture> =>
  makeFixture({
    response: (id) =>
      JSON.stringify({
        model_name: "eth-risk",
        id,
        outputs: [{ name: "label", datatype: "BYTES", shape: [1], data: [text] }],
      }),
  });
const stagesOf = (page: string): string[] =>
  [...page.matchAll(/<\/time> <strong>([^<]*)<\/strong>/g)].map(([, stage = ""]) => stage);

describe("a receipt's page", () => {
  test("tells the story, each check with its evidence, what is not proven, and the times in order", async () => {
    const { receipt, policy } = fixture;
    const page = receiptPage(await viewOf(receipt, policy));
    expect(page).toContain('<h1 class="verified">VERIFIED (simulated hardware)</h1>');
    expect(page.match(/<details/g)).toHaveLength(LAYERS.length + 1);
    const settlement = receipt.later[0]?.evidence as { transaction: string; signature: string };
    for (const words of [
      receipt.id,
      receipt.core.payment.payer,
      receipt.core.payment.payTo,
      "0.01 of the unknown token",
      "What this does not prove",
      "attestation document",
      policy.simulatedRoots[0] ?? "no root",
      settlement.transaction,
      settlement.signature,
      "signed exactly these terms",
    ])
      expect(page).toContain(words);
    const times = [...page.matchAll(/<li>\s*<time>([^<]*)<\/time>/g)].map(([, time = ""]) => Date.parse(time));
    expect(times.length).toBeGreaterThan(3);
    expect(times).toEqual(times.toSorted((a, b) => a - b));
    expect(stagesOf(page)).toEqual(expect.arrayContaining(["Attested", "Asked", "Signed", "Answered"]));
    expect(page).not.toMatch(/<script|\b(?:src|href)=/);
  });

  test("names late evidence for what it shows only if its layer passes", async () => {
    const view = await viewOf(fixture.receipt, fixture.policy);
    const withStatus = (status: Appraisal["layers"]["settlement"]["status"]): string[] => {
      const { appraisal } = view;
      const settlement = { ...appraisal.layers.settlement, status };
      return stagesOf(
        receiptPage({ ...view, appraisal: { ...appraisal, layers: { ...appraisal.layers, settlement } } }),
      );
    };
    expect(withStatus("pass")).toContain("Settled");
    expect(withStatus("reported")).toContain("Settled: told");
    expect(withStatus("fail")).toContain("Settled: told, and refuted");
  });

  test("names signing and attestation for what they show only if their layers pass, and says whose clock tells them", async () => {
    const { receipt, policy } = fixture;
    const good = receiptPage(await viewOf(receipt, policy));
    expect(stagesOf(good)).toEqual(expect.arrayContaining(["Attested", "Signed"]));
    expect(good).toContain("(the clock of simulated hardware)");
    const core = structuredClone(receipt.core);
    const signature = core.evidence.find(({ kind }) => kind === "signature.tee") as { timestamp: number };
    signature.timestamp += 30;
    const forged = receiptPage(await viewOf({ ...createReceipt(core), later: receipt.later }, policy));
    expect(stagesOf(forged)).toEqual(expect.arrayContaining(["Attested", "Signed: told, and refuted"]));
    const unknown = receiptPage(await viewOf(receipt, appraisalPolicySchema.parse({})));
    expect(stagesOf(unknown)).toContainEqual(expect.stringMatching(/^Attested: told/));
    expect(stagesOf(unknown)).toContainEqual(expect.stringMatching(/^Signed: told/));
    expect(unknown).toContain("no known hardware signed it");
    for (const page of [good, forged, unknown]) expect(page).not.toContain("(the hardware&#39;s clock)");
  });

  test("a verdict noted in the file is the file's word: the page shows its own, and opens each layer that fails", async () => {
    const { receipt, policy } = fixture;
    const { appraisal } = await viewOf(receipt, policy);
    expect(appraisal.verdict).toBe("verified");
    const core = structuredClone(receipt.core);
    core.response.status = 500;
    const forged = { ...createReceipt(core), later: receipt.later, appraisals: [appraisal, appraisal] };
    const page = receiptPage(await viewOf(forged, policy));
    expect(page).toContain('<h1 class="failed">FAILED');
    expect(page).not.toMatch(/<h1[^>]*>VERIFIED|class="verified"/);
    expect(page.match(/the file notes &quot;verified&quot;; not the verdict here/g)).toHaveLength(1);
    expect(page).toMatch(/<details open>\s*<summary>\s*<span class="fail">fail<\/span>/);
  });

  test("without a policy for the seller says that nothing pinned was checked, and opens the facts", async () => {
    const page = receiptPage(await viewOf(fixture.receipt, { ...fixture.policy, sellers: {} }));
    expect(page).not.toMatch(/<h1[^>]*>VERIFIED/);
    expect(page).toContain("Nothing pinned was checked");
    expect(page).toMatch(/<details open>\s*<summary>Hold for this file under any policy/);
  });

  test("T103: shows markup in a receipt as text, and no hidden character", async () => {
    const { receipt, policy } = await answering(`${ATTACK}\u202Eend`);
    const core = structuredClone(receipt.core);
    core.request.model = ATTACK.slice(0, 128);
    for (const one of [receipt, createReceipt(core)]) {
      const page = receiptPage(await viewOf(one, policy, ATTACK));
      expect(page).not.toMatch(/<script|<img|\u202E/);
      expect(page.match(/<h1/g)).toHaveLength(1);
      expect(page).toContain("&lt;script&gt;");
    }
  });

  test("cuts long text, and says how long it is", async () => {
    const { receipt, policy } = await answering("VERIFIED ".repeat(100_000));
    const page = receiptPage(await viewOf(receipt, policy));
    expect(page.length).toBeLessThan(120_000);
    expect(page).toMatch(/\(9000\d\d characters; the file holds all of it\)/);
    // Documents stand by their hash, and no longer than a line or two.
    expect(page).toMatch(/\.\.\. \(\d+ characters\)/);
  });

  test("evidence in base64 of another spelling is shown as unread, and throws nothing", async () => {
    for (const at of [0, 1, 2]) {
      const core = structuredClone(fixture.receipt.core);
      const one = core.evidence[at] as Record<string, unknown>;
      for (const field of ["document", "manifest", "signature"]) if (field in one) one[field] = "AB==";
      const page = receiptPage(await viewOf({ ...createReceipt(core), later: [] }, fixture.policy));
      expect(page).toContain('<h1 class="failed">FAILED');
      expect(page).toContain("not in canonical base64");
    }
  });
});

const chromium = findChromium();
describe.skipIf(chromium === null)("a receipt's page in a browser", () => {
  let browser: Awaited<ReturnType<typeof openChromium>>;
  let folder: string;
  let file: string;
  beforeAll(async () => {
    browser = await openChromium(chromium ?? "");
    const { receipt, policy } = await answering(ATTACK);
    const forged = structuredClone(receipt.core);
    forged.response.status = 500;
    folder = await mkdtemp(join(tmpdir(), "proof402-page-"));
    file = join(folder, "receipt.html");
    await writeFile(file, receiptPage(await viewOf({ ...createReceipt(forged), later: receipt.later }, policy)));
  });
  afterAll(async () => {
    await browser.close();
    await rm(folder, { recursive: true });
  });

  test.each(["light", "dark"] as const)("has no violation that axe finds, in %s colours", async (colorScheme) => {
    const page = await browser.context.newPage();
    const said: string[] = [];
    page.on("console", (message) => said.push(message.text()));
    page.on("pageerror", (error) => said.push(String(error)));
    await page.emulateMedia({ colorScheme });
    await page.goto(pathToFileURL(file).href);
    await page.evaluate("document.querySelectorAll('details').forEach((one) => (one.open = true))");
    const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
    await page.evaluate(axe);
    const found = await page.evaluate<{ violations: { id: string; nodes: { html: string }[] }[]; passes: unknown[] }>(
      'axe.run({ runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"] })',
    );
    expect(found.violations.map(({ id, nodes }) => [id, nodes[0]?.html])).toEqual([]);
    expect(found.passes.length).toBeGreaterThan(10);
    expect(said).toEqual([]);
    await page.close();
  });

  test("prints all of it: each check with its evidence, and the layer that fails", async () => {
    const page = await browser.context.newPage();
    await page.goto(pathToFileURL(file).href);
    await page.setViewportSize({ width: Math.floor((174 / 25.4) * 96), height: 900 });
    await page.emulateMedia({ media: "print" });
    expect(await page.evaluate("document.documentElement.scrollWidth - innerWidth")).toBeLessThanOrEqual(0);
    const hidden = await page.evaluate<string[]>(
      "[...document.body.querySelectorAll('*')].filter((one) => !one.checkVisibility() || (one.tagName === 'PRE' && one.scrollHeight > one.clientHeight + 1)).map(({ outerHTML }) => outerHTML.slice(0, 80))",
    );
    expect(hidden).toEqual([]);
    await page.close();
  });
});
