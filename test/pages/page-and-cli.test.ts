import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, relative } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import type { Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { toBase64, utf8 } from "../../src/evidence/bytes.ts";
import { createReceipt, redactReceipt, serializeReceipt } from "../../src/receipts/receipt.ts";
import { LAYERS, type Receipt } from "../../src/receipts/schema.ts";
import type { AppraisalPolicy } from "../../src/verify/policy.ts";
import { cases, isBrief } from "../support/campaign.ts";
import { findChromium, openChromium } from "../support/chromium.ts";
import { runCli } from "../support/cli.ts";
import { makeFixture } from "../support/fixture-receipt.ts";
import { seeded } from "../support/onnx-files.ts";
import { openFamily } from "../support/receipt-family.ts";
import { mutate, mutateText } from "../support/receipt-mutations.ts";
import { resealed } from "../support/reseal.ts";
import { vectorsDirectory } from "../support/vectors.ts";

const PAGE = fileURLToPath(new URL("../../dist/src/pages/verify.html", import.meta.url));
const chromium = findChromium();
const vectors = await vectorsDirectory();
/** Files judged by the page after one choice. */
const AT_ONCE = 100;

type Given = { name: string; bytes: Uint8Array };
/** What a reader gets of a file: a refusal's code, or verdict, assurance-bearing layers and their codes. */
type Outcome = { refused: string } | { verdict: string; layers: Record<string, string> };
type Member = { receipt: Receipt; policy: AppraisalPolicy };

let browser: Awaited<ReturnType<typeof openChromium>>;
let page: Page;
let folder: string;
let members: readonly Member[];
let choices = 0;
beforeAll(async () => {
  if (chromium === null) return;
  folder = await mkdtemp(join(tmpdir(), "proof402-agree-"));
  browser = await openChromium(chromium);
  page = await browser.context.newPage();
  await page.goto(pathToFileURL(PAGE).href);
  members = isBrief ? await fewMembers() : (await openFamily()).members;
});
afterAll(async () => {
  await browser?.close();
  await rm(folder, { recursive: true, force: true });
});

async function fewMembers(): Promise<Member[]> {
  const made = [
    await makeFixture({ signed: true }),
    await makeFixture({ method: "upto", signed: true }),
    await makeFixture({ method: "voucher" }),
    await makeFixture({ format: 1 }),
  ];
  const [first] = made;
  const redacted = redactReceipt(first!.receipt, { request: true, response: false });
  return [...made, { receipt: redacted, policy: first!.policy }];
}

/** The page's outcomes, read off the page as a person sees it. */
async function byPage(files: readonly Given[], policy: AppraisalPolicy | null): Promise<Outcome[]> {
  const chosen = (name: string, bytes: Uint8Array) => ({ name, mimeType: "", buffer: Buffer.from(bytes) });
  await page.locator("#clear").click();
  choices += 2;
  if (policy !== null) {
    choices += 1;
    await page.setInputFiles("#trust", chosen("trust.json", utf8(trustText(policy))));
  }
  await page.setInputFiles(
    "#files",
    files.map(({ name, bytes }) => chosen(name, bytes)),
  );
  await page.locator(`#results[data-shown="${choices}"]`).waitFor({ state: "attached" });
  return page.evaluate<Outcome[]>(`(async () => {
    const outcomes = [];
    const place = document.getElementById("page");
    for (const row of document.querySelectorAll("tbody tr")) {
      const words = row.children[2].textContent;
      const refused = /^REFUSED: (.*)$/.exec(words)?.[1];
      if (refused !== undefined) {
        outcomes.push({ refused });
        continue;
      }
      const button = row.querySelector("button");
      const shown = new Promise((done) => new MutationObserver((_, watch) => {
        if (place.dataset.file === button.dataset.file) { watch.disconnect(); done(); }
      }).observe(place, { attributes: true, childList: true }));
      delete place.dataset.file;
      button.click();
      await shown;
      const title = place.querySelector("article > :is(h1, h3)").textContent;
      if (title !== words) throw new Error("list and page differ: " + words + ", " + title);
      const layers = {};
      for (const item of place.querySelectorAll("ol.layers > li")) {
        const [layer, code] = [...item.querySelectorAll("p code")].map((one) => one.textContent);
        layers[layer] = item.querySelector("summary span").textContent + " " + code;
      }
      outcomes.push({ verdict: words.split(" ")[0].toLowerCase(), layers });
    }
    return outcomes;
  })()`);
}

const trustText = (policy: AppraisalPolicy): string => JSON.stringify({ type: "proof402/trust", version: 1, policy });

/** The command line's outcomes of the same bytes. */
async function byCli(files: readonly Given[], policy: AppraisalPolicy): Promise<Outcome[]> {
  const trust = join(folder, "trust.json");
  await writeFile(trust, trustText(policy));
  const outcomes: Outcome[] = [];
  for (const { bytes } of files) {
    const file = join(folder, "file.bin");
    await writeFile(file, bytes);
    const { stdout, code } = await runCli(["verify", file, "--trust", trust, "--json"], { cwd: folder });
    const said = JSON.parse(stdout) as {
      error?: { code: string };
      receipt: { verdict: string };
      layers: Record<string, { status: string; code: string }>;
    };
    if (said.error !== undefined) {
      expect(code).toBe(64);
      outcomes.push({ refused: said.error.code });
      continue;
    }
    const { receipt, layers } = said;
    const shown = Object.fromEntries(LAYERS.map((layer) => [layer, `${layers[layer]?.status} ${layers[layer]?.code}`]));
    outcomes.push({ verdict: receipt.verdict, layers: shown });
  }
  return outcomes;
}

/** Both outcomes are the same for each file. Gives how many came to what. */
async function agree(files: readonly Given[], policy: AppraisalPolicy): Promise<Map<string, number>> {
  const counts = new Map<string, number>();
  for (let from = 0; from < files.length; from += AT_ONCE) {
    const some = files.slice(from, from + AT_ONCE);
    // Of one file alone there is no list.
    const given = some.length === 1 ? [...some, ...some] : some;
    const [shown, told] = [await byPage(given, policy), await byCli(given, policy)];
    for (const [at, { name }] of given.entries()) expect({ name, ...shown[at] }).toEqual({ name, ...told[at] });
    for (const one of told) {
      const what = "refused" in one ? "refused" : one.verdict;
      counts.set(what, (counts.get(what) ?? 0) + 1);
    }
  }
  return counts;
}

/** Some of a list, from all of it. */
const spread = <T>(list: readonly T[], count: number): T[] =>
  count >= list.length
    ? [...list]
    : Array.from({ length: count }, (_, at) => list[Math.floor((at * list.length) / count)] as T);

describe.skipIf(chromium === null)("verify.html and proof402 verify agree", () => {
  test("on genuine receipts of every kind, and on each changed at random, as a file or as text", async () => {
    const draw = seeded(402);
    const receipts = members.map(({ receipt }) => receipt);
    const runs = cases(30, 3000, 60);
    const groups = new Map<string, { policy: AppraisalPolicy; files: Given[] }>();
    const add = (policy: AppraisalPolicy, name: string, bytes: Uint8Array): void => {
      const key = trustText(policy);
      const group = groups.get(key) ?? { policy, files: [] };
      groups.set(key, group);
      group.files.push({ name, bytes });
    };
    for (const [at, { receipt, policy }] of members.entries())
      add(policy, `genuine-${at}.json`, serializeReceipt(receipt));
    for (let run = 0; run < runs; run += 1) {
      const { receipt, policy } = members[run % members.length]!;
      const kind = draw();
      const text = new TextDecoder().decode(serializeReceipt(receipt));
      const sealed = kind < 0.2 ? null : resealed(mutate(draw, receipt, receipts));
      // What the schema refuses is changed as text, so that both readers refuse it.
      const bytes = sealed === null ? utf8(mutateText(draw, text)) : serializeReceipt(sealed);
      add({ ...policy, reportedSuffices: run % 10 !== 0 }, `mutant-${run}.json`, bytes);
    }
    const counts = new Map<string, number>();
    for (const { policy, files } of groups.values())
      for (const [what, count] of await agree(files, policy)) counts.set(what, (counts.get(what) ?? 0) + count);
    for (const what of ["verified", "failed", "refused"]) expect(counts.get(what) ?? 0, what).toBeGreaterThan(0);
  });

  test.skipIf(vectors === null)(
    "on every file of the vectors and the evidence: none of them is a receipt, and both say why in one code",
    async () => {
      const roots = [vectors ?? "", join(vectors ?? "", "../evidence")];
      const all: string[] = [];
      for (const root of roots) {
        const entries = await readdir(root, { recursive: true, withFileTypes: true }).catch(() => []);
        all.push(...entries.filter((one) => one.isFile()).map(({ parentPath, name }) => join(parentPath, name)));
      }
      expect(all.length).toBeGreaterThan(3);
      const files = await Promise.all(
        spread(all.toSorted(), cases(30, Infinity, Infinity)).map(async (path) => ({
          name: relative(vectors ?? "", path).replaceAll(/[^\w.-]/g, "_"),
          bytes: await readFile(path),
        })),
      );
      const counts = await agree(files, members[0]!.policy);
      expect([...counts.keys()]).toEqual(["refused"]);
    },
  );

  test.skipIf(vectors === null)(
    "on attestations of others in a receipt's place: each document of the vectors",
    async () => {
      const { receipt, policy } = members[0]!;
      const documents = (await readdir(join(vectors ?? "", "nitro"))).filter((name) => name.endsWith(".bin"));
      expect(documents.length).toBeGreaterThan(1);
      const files = await Promise.all(
        documents.map(async (name) => {
          const core = structuredClone(receipt.core);
          const [attestation] = core.evidence;
          Object.assign(attestation!, { document: toBase64(await readFile(join(vectors ?? "", "nitro", name))) });
          return { name, bytes: serializeReceipt({ ...createReceipt(core), later: receipt.later }) };
        }),
      );
      const counts = await agree(files, policy);
      expect([...counts.keys()]).toEqual(["failed"]);
    },
  );
});
