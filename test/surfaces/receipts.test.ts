import { readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from "vitest";
import { formatUnits } from "../../src/chain/amounts.ts";
import { writeDevnet } from "../../src/devnet/index.ts";
import { followChanges } from "../../src/buyer/follow.ts";
import { judgeContext } from "../../src/buyer/judge.ts";
import { pruneReceipts } from "../../src/buyer/prune.ts";
import { loadConfig } from "../../src/config/load.ts";
import { openDatabase } from "../../src/storage/database.ts";
import { runCli } from "../support/cli.ts";
import { ETH_FEATURES, openMarket, writeVariant, type Market } from "../support/devnet.ts";

let market: Market;
let config: string;
const cli = (...args: string[]) => runCli(["--config", config, ...args]);
const inFolder = (name: string): string => join(market.directory, name);
type Summary = { id: string; verdict: string };
const bought: Summary[] = [];

beforeAll(async () => {
  market = await openMarket();
  ({ config } = await writeDevnet(market.devnet, market.directory));
  for (const seller of ["honest", "honest", "tampering"]) {
    const input = JSON.stringify(ETH_FEATURES);
    const { stdout } = await cli(
      "buy",
      "eth-risk",
      "--input",
      input,
      "--json",
      "--seller",
      seller,
      "--wait",
      "verified",
    );
    bought.push((JSON.parse(stdout) as { receipt: Summary }).receipt);
  }
});
afterAll(() => market.stop());

describe("receipts list", () => {
  test("is of purchases with each verdict", () => {
    expect(bought.map(({ verdict }) => verdict)).toEqual(["verified", "verified", "failed"]);
  });

  test("says how many there are and which command shows the next", async () => {
    const first = await cli("receipts", "list", "--limit", "2");
    expect(first.stdout.trimEnd().split("\n")).toHaveLength(2);
    expect(first.stderr).toContain("1 to 2 of 3 receipts");
    const command = /For more: proof402 (.*)/.exec(first.stderr)?.[1] ?? "";
    const next = await cli(...command.split(" "));
    expect(next.stdout).toContain(bought[0]?.id.slice(0, 13));
    expect(next.stderr).not.toContain("For more");
    const { stdout } = await cli("receipts", "list", "--limit", "2", "--json");
    expect(JSON.parse(stdout)).toMatchObject({
      total: 3,
      more: { skip: 2 },
      next: expect.stringMatching(/^For more: proof402 receipts list .*--skip 2$/),
    });
  });

  test("takes filters, and shows ids that every command takes", async () => {
    const { stdout } = await cli("receipts", "list", "--verdict", "failed", "--seller", "tampering");
    expect(stdout.trimEnd().split("\n")).toHaveLength(1);
    const short = /p402_\w+/.exec(stdout)?.[0] ?? "";
    expect(short).toHaveLength(13);
    const failed = bought[2]?.id ?? "";
    expect((await cli("receipts", "show", short)).stdout).toContain(failed);
    expect((await cli("verify", short)).stdout).toContain(failed);
    expect((await cli("receipts", "export", short, "-")).stdout).toContain(failed);
    expect((await cli("receipts", "list", "--before", "2020-01-01")).stderr).toContain("No receipt fits");
    expect((await cli("receipts", "list", "--since", "1 may")).code).toBe(64);
    const all = await cli("receipts", "show", "p402_");
    expect([all.code, all.stderr]).toEqual([64, expect.stringContaining("Give more characters of the id")]);
  });
});

describe("an accountant's table", () => {
  test.each(["--json", "--csv"])("%s takes no receipt's id for the name of its file", async (kind) => {
    const id = bought[0]?.id.slice(0, 13) ?? "";
    const { code, stdout, stderr } = await runCli(["--config", config, "receipts", "export", id, kind], {
      cwd: market.directory,
    });
    expect([code, stdout + stderr]).toEqual([64, expect.stringContaining(`receipts export ${id} receipt.json`)]);
    expect(await readdir(market.directory)).not.toContain(id);
  });

  type Line = Record<string, string>;
  const linesOf = async (...filters: string[]): Promise<Line[]> =>
    JSON.parse((await cli("receipts", "export", "--json", "-", ...filters)).stdout) as Line[];

  test("agrees with what spending says", async () => {
    const spent = JSON.parse((await cli("spending", "--json")).stdout) as {
      assets: { symbol: string; decimals: number; spent: string; reserved: string }[];
      purchases: number;
    };
    const lines = await linesOf();
    expect(lines).toHaveLength(spent.purchases);
    for (const { symbol, decimals, spent: settled, reserved } of spent.assets) {
      const sum = lines
        .filter((line) => line["symbol"] === symbol)
        .reduce((total, line) => total + BigInt(Math.round(Number(line["amount"]) * 1e6)), 0n);
      expect(formatUnits(sum * 10n ** BigInt(decimals - 6), decimals)).toBe(
        formatUnits(BigInt(settled) + BigInt(reserved), decimals),
      );
    }
  });

  test("has amount, token, network, transaction, payee, seller, model, verdict and times of each receipt", async () => {
    const [first] = await linesOf("--verdict", "verified");
    expect(first).toMatchObject({
      receipt: bought[0]?.id,
      seller: "honest",
      model: "eth-risk",
      verdict: "verified",
      payment: "settled",
      amount: "0.01",
      network: expect.stringMatching(/^eip155:\d+$/),
      transaction: expect.stringMatching(/^0x[0-9a-f]{64}$/),
      payee: market.devnet.sellers.honest.payTo,
      bought_by: "this buyer",
    });
    for (const time of ["asked_at", "answered_at", "settled_at"])
      expect(new Date(first?.[time] ?? "").getTime()).toBeGreaterThan(0);
  });

  test("T103: is CSV with every formula made text, and writes over no file", async () => {
    const db = await openDatabase(inFolder("proof402.db"));
    const [receipt] = bought;
    await db
      .insertInto("receipt_claims")
      .values({
        receipt_id: receipt?.id ?? "",
        purpose: '=HYPERLINK("http://x","y"),a',
        at: 1,
        purchase: await nonceOf(db),
      })
      .execute();
    await db.destroy();
    const file = inFolder("receipts.csv");
    const written = await cli("receipts", "export", "--csv", file);
    expect(written.stderr).toContain(`Wrote ${file}: 3 receipts`);
    const text = await readFile(file, "utf8");
    const rows = text.trimEnd().split("\r\n");
    expect(rows).toHaveLength(4);
    expect(rows[0]).toMatch(/^asked_at,.*amount,symbol,.*transaction,.*purpose/);
    expect(text).toContain(`"'=HYPERLINK(""http://x"",""y""),a"`);
    expect((await cli("receipts", "export", "--csv", "-")).stdout).toBe(text);
    await writeFile(inFolder("mine.csv"), "mine");
    const refused = await cli("receipts", "export", "--csv", inFolder("mine.csv"), "--json");
    expect(JSON.parse(refused.stdout)).toMatchObject({ error: { code: "file_exists" } });
    expect(await readFile(inFolder("mine.csv"), "utf8")).toBe("mine");
    expect((await cli("receipts", "export", bought[0]?.id ?? "")).code).toBe(64);
    expect((await cli("receipts", "export", bought[0]?.id ?? "", inFolder("x"), "--csv")).code).toBe(64);
    // No log has it, and an audit would say so.
    const again = await openDatabase(inFolder("proof402.db"));
    await again.deleteFrom("receipt_claims").execute();
    await again.destroy();
  });

  test("leaves nothing behind where a stored row is damaged", async () => {
    const db = await openDatabase(inFolder("proof402.db"));
    const { json } = await db
      .selectFrom("receipts")
      .select("json")
      .where("id", "=", bought[1]?.id ?? "")
      .executeTakeFirstOrThrow();
    const set = (text: string) =>
      db
        .updateTable("receipts")
        .set({ json: text })
        .where("id", "=", bought[1]?.id ?? "")
        .execute();
    await set("{}");
    const broken = await cli("receipts", "export", "--csv", inFolder("broken.csv"));
    await set(json);
    await db.destroy();
    expect(broken.stderr).toContain("receipt_store_damaged");
    expect(await readdir(market.directory)).not.toContain("broken.csv");
  });

  const nonceOf = async (db: Awaited<ReturnType<typeof openDatabase>>): Promise<string> =>
    (
      await db
        .selectFrom("receipts")
        .select("payment_nonce")
        .where("id", "=", bought[0]?.id ?? "")
        .executeTakeFirstOrThrow()
    ).payment_nonce;
});

test("export --html writes a page of one receipt, over no file, and verify --page names the page that judges", async () => {
  const [{ id } = { id: "" }] = bought;
  const file = inFolder("receipt.html");
  expect((await cli("receipts", "export", id, file, "--html")).stderr).toContain(`Wrote ${file}`);
  const page = await readFile(file, "utf8");
  for (const words of [
    "VERIFIED",
    id,
    `0.01 ${market.devnet.config.payment.assets[0]?.symbol} ($0.01)`,
    "What this does not prove",
    JSON.stringify(ETH_FEATURES.features[0]),
  ])
    expect(page).toContain(words);
  expect((await cli("receipts", "export", id, file, "--html")).code).toBe(64);
  expect((await cli("receipts", "export", "--html", inFolder("all.html"))).code).toBe(64);
  // The page is of the stored verdict, which knew the seller.
  const later = await writeVariant(config, inFolder("later.json"), (written) => {
    written.sellers = written.sellers.filter((seller) => seller.id !== "honest");
  });
  const { stdout } = await runCli(["--config", later, "receipts", "export", id, "-", "--html"]);
  expect(stdout).toContain("VERIFIED");
  expect(stdout).not.toContain("Nothing pinned was checked");
  const named = JSON.parse((await cli("verify", "--page", "--json")).stdout) as { file: string };
  expect(await readFile(named.file, "utf8")).toContain("Verify a proof402 receipt");
  expect((await cli("verify")).code).toBe(64);
});

test("show says how a payment that was not seen is looked for, and waits until it is, whatever the verdict", async () => {
  const id = bought[2]?.id ?? "none";
  const { stdout, stderr } = await cli("receipts", "show", id);
  expect(stderr.includes(`proof402 receipts show ${id} --wait 30`)).toBe(stdout.includes("not seen on chain yet"));
  const waited = await cli("receipts", "show", id, "--wait", "30");
  expect(waited.stdout).toMatch(/FAILED[^]*^settlement +pass /m);
  expect(waited.stdout).not.toContain("not seen on chain yet");
  expect(waited.stderr).not.toContain("--wait");
});

test("prune deletes requests and answers for good, says so wherever the receipt is shown, and moves no money", async () => {
  // Of a copy.
  const copy = inFolder("pruned.db");
  expect((await cli("db", "copy", "--from", inFolder("proof402.db"), "--to", copy)).code).toBe(0);
  const other = await writeVariant(config, inFolder("pruned.json"), (written) => {
    written.database = copy;
  });
  const db = await openDatabase(copy);
  onTestFinished(() => db.destroy());
  const there = (...args: string[]) => runCli(["--config", other, ...args]);
  const asked = ["receipts", "prune", "--older", "1h", "--keep-proofs"];
  expect((await there("receipts", "prune", "--older", "1h")).code).toBe(64);
  expect((await there("receipts", "prune", "--older", "soon", "--keep-proofs")).code).toBe(64);
  expect((await there(...asked, "--yes")).stdout).toContain("Nothing to prune");
  const ctx = judgeContext(await loadConfig({ path: other }), db);
  const pruning = await pruneReceipts(ctx, { before: new Date(Date.now() + 1000) });
  // The failed one shows what its seller did wrong.
  expect(pruning).toMatchObject({ receipts: 2, unverified: 2, kept: { payment: 0, call: 0, failed: 1 }, left: [] });
  const verified = bought.slice(0, 2).map((receipt) => receipt.id);
  const requests = await db.selectFrom("purchases").select("request").where("receipt_id", "in", verified).execute();
  expect(requests.map(({ request }) => (JSON.parse(request) as { body: string }).body)).toEqual(["", ""]);
  const first = db
    .selectFrom("purchases")
    .select("idempotency_key")
    .where("receipt_id", "=", bought[0]?.id ?? "");
  const key = (await first.executeTakeFirstOrThrow()).idempotency_key;
  const id = bought[0]?.id ?? "none";
  const shown = await there("receipts", "show", id);
  expect(shown.stdout).toMatch(/UNVERIFIED[^]*^Pruned .*request and response.*SHA-256.*Before that it was verified/m);
  expect((await there("audit")).stdout).toContain("Of 2 receipts the owner pruned");
  const file = inFolder("pruned.json.receipt");
  expect((await there("receipts", "export", id, file)).code).toBe(0);
  expect((await there("verify", file)).code).not.toBe(0);
  const count = async () => (await there("spending")).stdout.match(/Purchases shown: .*/)?.[0];
  const spent = await count();
  const again = await there(
    "buy",
    "eth-risk",
    "--input",
    JSON.stringify(ETH_FEATURES),
    "--seller",
    "honest",
    "--key",
    key,
  );
  expect(again.stderr).toContain("body_redacted");
  expect(await count()).toBe(spent);
  // The database of before is still what it was.
  expect((await cli("receipts", "show", id)).stdout).toContain("VERIFIED");
});

test("spending pages its purchases", async () => {
  const { stdout } = await cli("spending", "--limit", "2");
  expect(stdout).toContain("Purchases shown: 1 to 2 of 3");
  expect(stdout).toContain("For more: proof402 spending --skip 2");
  expect((await cli("spending", "--skip", "2")).stdout).toContain("3 to 3 of 3");
});

test("watch tells what became of each payment, each verdict, and the hold on the seller that cheated", async () => {
  const db = await openDatabase(inFolder("proof402.db"));
  try {
    const changes = await followChanges(db).begin(100);
    const payments = changes.filter((one) => one.kind === "payment");
    expect(payments.map(({ receiptId }) => receiptId)).toEqual(expect.arrayContaining(bought.map(({ id }) => id)));
    expect(payments.every(({ state }) => state === "settled" || state === "answered")).toBe(true);
    const newest = new Map(changes.flatMap((one) => (one.kind === "verdict" ? [[one.receiptId, one.verdict]] : [])));
    expect(bought.map(({ id }) => newest.get(id))).toEqual(bought.map(({ verdict }) => verdict));
    expect(changes.filter(({ kind }) => kind === "hold")).toMatchObject([{ seller: "tampering", state: "set" }]);
    await cli("sellers", "release", "tampering");
    const after = await followChanges(db).begin(100);
    expect(after.filter(({ kind }) => kind === "hold").at(-1)).toMatchObject({
      seller: "tampering",
      state: "released",
    });
  } finally {
    await db.destroy();
  }
});
