import { copyFile, mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { openBuyer } from "../../src/buyer/open.ts";
import { loadConfig } from "../../src/config/load.ts";
import type { ConfigInput } from "../../src/config/schema.ts";
import { writeDevnet } from "../../src/devnet/index.ts";
import { newestAppraisal } from "../../src/receipts/newest.ts";
import { createReceipt, parseReceipt, serializeReceipt, redactReceipt } from "../../src/receipts/receipt.ts";
import type { Receipt, ReceiptCore } from "../../src/receipts/schema.ts";
import { runCli } from "../support/cli.ts";
import { ETH_FEATURES, openMarket, type Market, writeVariant } from "../support/devnet.ts";

let market: Market;
let config: string;
let receiptFile: string;
let receipt: Receipt;
/** Where no configuration is found. */
let elsewhere: string;
const cli = (...args: string[]) => runCli(["--config", config, ...args]);

beforeAll(async () => {
  market = await openMarket();
  elsewhere = await mkdtemp(join(tmpdir(), "proof402-auditor-"));
  ({ config } = await writeDevnet(market.devnet, market.directory));
  const input = JSON.stringify(ETH_FEATURES);
  const bought = await cli("buy", "eth-risk", "--input", input, "--json", "--seller", "honest", "--wait", "verified");
  const { id } = (JSON.parse(bought.stdout) as { receipt: { id: string } }).receipt;
  receiptFile = join(market.directory, "receipt.json");
  await cli("receipts", "export", id, receiptFile);
  const parsed = parseReceipt(await readFile(receiptFile));
  if (!parsed.ok) throw new Error(parsed.message);
  ({ receipt } = parsed);
});
afterAll(async () => {
  await market.stop();
  await rm(elsewhere, { recursive: true, force: true });
});

/** A copy of the configuration with a database of its own name. */
async function over(database: string, change: (written: ConfigInput) => void = () => undefined): Promise<string> {
  return writeVariant(config, join(market.directory, `${database.replaceAll("/", "-")}.config.json`), (written) => {
    change(written);
    written.database = database;
  });
}
/** A receipt as a file. */
async function saved(name: string, one: Receipt): Promise<string> {
  const file = join(market.directory, name);
  await writeFile(file, serializeReceipt(one));
  return file;
}

test("reads the chain again where it is asked to, and finds what a file tells otherwise", async () => {
  const path = await over("/nonexistent/directory/x.db");
  const online = (file: string) => runCli(["--config", path, "verify", file, "--online", "--json"]);
  const genuine = await online(receiptFile);
  expect(JSON.parse(genuine.stdout)).toMatchObject({ receipt: { layers: { settlement: "pass" } } });
  expect(genuine.code).toBe(0);
  const forged = structuredClone(receipt);
  for (const { evidence } of forged.later)
    if (evidence.kind === "settlement.x402") evidence.transaction = `0x${"00".repeat(32)}`;
  const file = await saved("never-settled.json", { ...forged, appraisals: [] });
  const judged = await online(file);
  expect(judged.code).toBe(1);
  expect(JSON.parse(judged.stdout)).toMatchObject({ layers: { settlement: { code: "settlement_not_on_chain" } } });
  // The store knows better, too: a second settlement beside the one seen here is none.
  expect((await cli("verify", file)).code).toBe(1);
});

test("by a trust file needs no configuration, and names what it judged by", async () => {
  const trust = join(market.directory, "trust.json");
  const exported = await cli("trust", "export", trust, "--reported-suffices", "--json");
  expect(exported.code).toBe(0);
  const { hash } = JSON.parse(exported.stdout) as { hash: string };
  expect(await readFile(trust, "utf8")).not.toMatch(/rpcUrl|privateKey|database/);
  const alone = await runCli(["verify", receiptFile, "--trust", trust], { cwd: elsewhere });
  expect(alone.stdout).toContain(`policy ${hash}`);
  expect(alone.stdout).toContain("VERIFIED");
  expect(alone.code).toBe(0);
  // Without the flag the file's word on the chain is no pass, and the way out is named.
  const strict = join(market.directory, "strict.json");
  expect((await cli("trust", "export", strict)).code).toBe(0);
  const told = await runCli(["verify", receiptFile, "--trust", strict], { cwd: elsewhere });
  expect([told.code, told.stderr]).toEqual([
    2,
    expect.stringMatching(/Only the file tells of its settlement[^]*--online[^]*--reported-suffices/),
  ]);
  // Another assurance is another policy, and its hash is the one that is told.
  const less = ["verify", receiptFile, "--trust", trust, "--assurance", "signed"];
  const { policy } = JSON.parse((await runCli([...less, "--json"], { cwd: elsewhere })).stdout) as {
    policy: { hash: string };
  };
  expect(policy.hash).not.toBe(hash);
  expect((await runCli(less, { cwd: elsewhere })).stdout).toContain(`policy ${policy.hash}`);
  // It is not written over, and a file that is none is refused.
  expect((await cli("trust", "export", trust)).code).toBe(64);
  expect((await runCli(["verify", receiptFile, "--trust", receiptFile])).code).toBe(64);
});

test("begins with who sold what to whom, for how much and when, and what was asked and answered", async () => {
  const { core } = receipt;
  const when = `, ${core.response.receivedAt}`;
  const sold = `"honest" sold "eth-risk" to the wallet ${core.payment.payer} for`;
  const own = await cli("verify", receipt.id);
  expect(own.stdout.split("\n").slice(1, 4)).toEqual([
    `${sold} 0.01 USDC ($0.01)${when}`,
    `Asked     ${JSON.stringify(ETH_FEATURES)}`,
    expect.stringMatching(/^Answered {2}\{.*"class".*\} \(the seller's data\)$/),
  ]);
  expect((await cli("receipts", "show", receipt.id)).stdout).toContain(own.stdout.split("\n").slice(0, 4).join("\n"));
  // Of a stranger's file the words are the file's, a token that the reader does not know goes by its address, and what is
  // left out is said to be.
  const shared = await saved("redacted.json", redactReceipt(receipt, { request: true, response: false }));
  const { stdout } = await runCli(["verify", shared], { cwd: elsewhere });
  expect(stdout.split("\n").slice(1, 3)).toEqual([
    `The receipt tells: ${sold} 0.01 of the unknown token ${core.payment.asset} on ${core.payment.network}${when}`,
    "Asked     (The request's bytes are redacted from this receipt.)",
  ]);
});

test("T67: never ends well for a receipt that its maker judged failed, imported or handed on", async () => {
  const path = await over("contradicted.db");
  const imported = { ...receipt, appraisals: [{ ...newestAppraisal(receipt), verdict: "failed" as const }] };
  const file = await saved("failed-by-its-maker.json", imported);
  // As a file, also where the chain is read again, and as a stored receipt whose maker's appraisal was left out.
  expect((await runCli(["--config", path, "verify", file])).code).toBe(1);
  expect((await runCli(["--config", path, "verify", file, "--online"])).code).toBe(1);
  expect((await runCli(["--config", path, "receipts", "import", file])).code).toBe(0);
  expect((await runCli(["--config", path, "verify", receipt.id])).code).toBe(1);
  const again = join(market.directory, "handed-on.json");
  expect((await runCli(["--config", path, "receipts", "export", receipt.id, again])).code).toBe(0);
  expect((await runCli(["--config", path, "verify", again])).code).toBe(1);
});

test("T67: keeps what the chain contradicts in a stored receipt, for every surface from then on", async () => {
  const path = await over("told-otherwise.db", (written) => {
    written.verification = { ...written.verification, reportedSuffices: true };
  });
  const forged = structuredClone(receipt);
  for (const { evidence } of forged.later)
    if (evidence.kind === "settlement.x402") evidence.transaction = `0x${"00".repeat(32)}`;
  const file = await saved("told-otherwise.json", { ...forged, appraisals: [] });
  const run = (...args: string[]) => runCli(["--config", path, ...args]);
  expect((await run("receipts", "import", file)).code).toBe(0);
  // Until the chain is read, the file's word suffices under this policy.
  expect((await run("verify", receipt.id)).code).toBe(0);
  expect((await run("verify", receipt.id, "--online")).code).toBe(1);
  expect((await run("verify", receipt.id)).code).toBe(1);
  const appraisals = async (): Promise<number> =>
    (JSON.parse((await run("receipts", "show", receipt.id, "--json")).stdout) as Receipt).appraisals.length;
  const before = await appraisals();
  // Found again, it is kept once.
  expect((await run("verify", receipt.id, "--online")).code).toBe(1);
  expect(await appraisals()).toBe(before);
  const shown = await run("receipts", "show", receipt.id);
  expect(shown.stdout).toContain("settlement_not_on_chain");
  const again = join(market.directory, "told-otherwise-again.json");
  expect((await run("receipts", "export", receipt.id, again)).code).toBe(0);
  expect((await run("verify", again)).code).toBe(1);
  expect((await run("audit")).code).toBe(0);
});

test("T67: reading the chain again for a file of a stored receipt forgets no contradiction that is stored", async () => {
  const path = await over("told-against.db");
  const run = (...args: string[]) => runCli(["--config", path, ...args]);
  const at = receipt.core.response.receivedAt;
  const evidence = { kind: "contradiction", layer: "response", code: "found_since" } as const;
  const against = await saved("told-against.json", { ...receipt, later: [...receipt.later, { at, evidence }] });
  expect((await run("verify", receiptFile, "--online")).code).toBe(0);
  expect((await run("receipts", "import", against)).code).toBe(0);
  for (const target of [receipt.id, receiptFile])
    for (const online of [[], ["--online"]]) expect((await run("verify", target, ...online)).code).toBe(1);
});

test.each<[string, (core: ReceiptCore) => void]>([
  ["a free field", ({ request }) => (request.sentAt = new Date(Date.parse(request.sentAt) - 1).toISOString())],
  ["the payer", ({ payment }) => (payment.payer = `0x${"12".repeat(20)}`)],
])("T97: a file of an own purchase is condemned where it differs in %s, on every surface", async (name, change) => {
  const core = structuredClone(receipt.core);
  change(core);
  const copy: Receipt = { ...receipt, ...createReceipt(core), later: receipt.later };
  const file = await saved("differs.json", copy);
  for (const online of [[], ["--online"]]) {
    const { code, stdout } = await cli("verify", file, "--json", ...online);
    expect({
      code,
      payment: (JSON.parse(stdout) as { layers: Record<string, unknown> }).layers["payment"],
    }).toMatchObject({
      code: 1,
      payment: { status: "fail" },
    });
  }
  // Also as one of a folder: the store counts there as it does for a single file.
  const folder = join(elsewhere, `folder-${name.replaceAll(" ", "-")}`);
  await mkdir(folder);
  await copyFile(file, join(folder, "a.json"));
  await copyFile(receiptFile, join(folder, "b.json"));
  const all = await cli("verify", folder);
  expect([
    all.code,
    all.stdout
      .split("\n")
      .slice(0, 2)
      .map((line) => line.split(" ")[0]),
  ]).toMatchObject([1, ["failed", "verified"]]);
  const written = await loadConfig({ path: config });
  const buyer = await openBuyer({ config: written, wallet: null });
  try {
    expect(await buyer.verify(copy)).toMatchObject({ verdict: "failed", layers: { payment: { status: "fail" } } });
    expect(await buyer.verify(receipt)).toMatchObject({ verdict: "verified" });
  } finally {
    await buyer.close();
  }
});

/** Another receipt of the purchase, with another time in a field that nothing signs. */
function differing(later: Receipt["later"]): Receipt {
  const core = structuredClone(receipt.core);
  core.request.sentAt = new Date(Date.parse(core.request.sentAt) - 1).toISOString();
  return { ...createReceipt(core), later };
}

test("T97: of two files of an imported purchase that differ neither is verified, on every surface", async () => {
  const path = await over("imported.db", (written) => {
    written.verification = { ...written.verification, reportedSuffices: true };
  });
  const copy = differing(receipt.later);
  const file = await saved("differs-from-imported.json", copy);
  const run = (...args: string[]) => runCli(["--config", path, ...args]);
  expect((await run("verify", file)).code).toBe(0);
  expect((await run("receipts", "import", receiptFile)).code).toBe(0);
  // The stored one stands until the other one is stored, too.
  const { code, stdout } = await run("verify", file, "--json");
  expect(code).toBe(2);
  expect(JSON.parse(stdout)).toMatchObject({
    layers: { payment: { status: "skip", code: "purchase_contested", note: expect.stringContaining(receipt.id) } },
  });
  expect((await run("verify", receiptFile)).code).toBe(0);
  const imported = await run("receipts", "import", file);
  expect(imported.stdout).toContain("Only the buyer or the seller can tell which one is genuine.");
  for (const target of [receiptFile, file, receipt.id, copy.id])
    for (const online of [[], ["--online"]]) expect((await run("verify", target, ...online)).code).toBe(2);
  const listed = JSON.parse((await run("receipts", "list", "--json")).stdout) as { receipts: { verdict: string }[] };
  expect(listed.receipts.map(({ verdict }) => verdict)).toEqual(["unverified", "unverified"]);
});

test("T97: what the chain contradicts in one of two imported receipts lets the other one stand", async () => {
  const path = await over("contradicted-rival.db", (written) => {
    written.verification = { ...written.verification, reportedSuffices: true };
  });
  const later = structuredClone(receipt.later);
  for (const { evidence } of later)
    if (evidence.kind === "settlement.x402") evidence.transaction = `0x${"00".repeat(32)}`;
  const copy = differing(later);
  const run = (...args: string[]) => runCli(["--config", path, ...args]);
  for (const file of [await saved("rival.json", copy), receiptFile])
    expect((await run("receipts", "import", file)).code).toBe(0);
  expect((await run("verify", receipt.id)).code).toBe(2);
  expect((await run("verify", copy.id, "--online")).code).toBe(1);
  expect((await run("verify", receipt.id)).code).toBe(0);
  const listed = JSON.parse((await run("receipts", "list", "--json")).stdout) as { receipts: { verdict: string }[] };
  expect(listed.receipts.map(({ verdict }) => verdict).toSorted()).toEqual(["failed", "verified"]);
});

test("T98: junk that was imported first keeps no receipt from being verified on the chain", async () => {
  const path = await over("junk-first.db");
  const run = (...args: string[]) => runCli(["--config", path, ...args]);
  const junk = structuredClone(receipt);
  for (const { evidence } of junk.later)
    if (evidence.kind === "settlement.x402") evidence.transaction = `0x${"00".repeat(32)}`;
  // Of the same receipt, and of another that names the same payment.
  const later = receipt.later.filter(({ evidence }) => evidence.kind !== "inclusion.merkle");
  const other: Receipt = { ...receipt, ...createReceipt({ ...receipt.core, evidence: [] }), later };
  const files: [string, Receipt][] = [
    ["junk.json", { ...junk, appraisals: [] }],
    ["other-junk.json", { ...other, appraisals: [] }],
  ];
  for (const [name, one] of files)
    expect(await run("receipts", "import", await saved(name, one))).toMatchObject({ code: 0 });
  expect((await run("receipts", "import", receiptFile)).code).toBe(0);
  const { stdout } = await run("verify", receipt.id, "--json");
  expect(JSON.parse(stdout)).toMatchObject({ receipt: { verdict: "pending", layers: { settlement: "pending" } } });
  const online = await run("verify", receipt.id, "--online");
  expect(online.stdout).toContain(other.id);
  expect(online.code).toBe(0);
  expect((await run("verify", receipt.id, "--online")).code).toBe(0);
  const judged = await run("verify", other.id, "--json");
  expect(JSON.parse(judged.stdout)).toMatchObject({ receipt: { verdict: "unverified" } });
  expect(judged.code).toBe(2);
  // As a file, too, which holds what all files told.
  const again = join(market.directory, "joined.json");
  expect((await run("receipts", "export", receipt.id, again)).code).toBe(0);
  const elsewhere = await over("joined-elsewhere.db");
  expect((await runCli(["--config", elsewhere, "verify", again, "--online"])).code).toBe(0);
});

test("an auditor without a configuration is told what to do, and keeps receipts beside an empty wallet", async () => {
  const alone = (...args: string[]) => runCli(args, { cwd: elsewhere, env: { HOME: elsewhere } });
  for (const words of [["import", receiptFile], ["export", receipt.id, "copy.json"], ["list"], ["show", receipt.id]]) {
    const { code, stderr } = await alone("receipts", ...words);
    expect([words[0], code]).toEqual([words[0], 64]);
    expect(stderr).toMatch(/proof402 verify FILE --trust trust\.json[^]*proof402 init.*its wallet may stay empty/);
  }
  expect((await alone("verify", receipt.id)).stderr).toContain("proof402 verify FILE --trust trust.json");
  expect((await alone("init", "--network", "base", "--wallet", "file")).code).toBe(0);
  expect(await alone("receipts", "import", receiptFile)).toMatchObject({
    code: 0,
    stdout: `${receipt.id}: unverified\n`,
    stderr: expect.stringContaining(`proof402 receipts show ${receipt.id}`),
  });
  expect((await alone("receipts", "export", receipt.id, join(elsewhere, "copy.json"))).code).toBe(0);
  const copy = parseReceipt(await readFile(join(elsewhere, "copy.json")));
  expect(copy).toMatchObject({ ok: true, receipt: { id: receipt.id } });
});
