import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { serializeReport, type Report } from "../../src/receipts/report-schema.ts";
import { openDatabase } from "../../src/storage/database.ts";
import { runCli } from "../support/cli.ts";
import { eventually } from "../support/eventually.ts";
import { openDecisionWorld, type DecisionWorld } from "../support/decision-buyer.ts";

let world: DecisionWorld;
/** A command of the buyer, and one of an auditor without a configuration. */
const cli = (...args: string[]) => runCli(["--config", world.config, ...args]);
const auditor = (...args: string[]) => runCli(args, { cwd: world.folder });
const inFolder = (name: string): string => join(world.folder, name);
/** The time of the newest receipt; decisions are some milliseconds after it. */
let start: number;
let ids: string[];
let made: Awaited<ReturnType<typeof runCli>>;
beforeAll(async () => {
  world = await openDecisionWorld(2);
  start = Math.max(...world.receipts.map(({ core }) => Date.parse(core.response.receivedAt)));
  const [a, b] = world.receipts.map(({ id }) => id) as [string, string];
  const decide = async (day: number, subject: string, receipts: string[], purpose: string): Promise<string> => {
    world.setTime(new Date(start + day));
    const what = { purpose, subject, receipts, action: { pay: "12.50" }, outcome: "approved" };
    return (await world.buyer.decide({ ...what, person: "Ada", second: "Grace" })).id;
  };
  ids = [
    await decide(1, "line 1", [a], "payroll"),
    await decide(2, "line 2\u00e9", [b], "payroll"),
    await decide(3, "truck", [a, b], "routing"),
  ];
  const period = ["--from", new Date(start + 1).toISOString(), "--to", "2100-01-01"];
  await eventually(() => {
    if (Date.now() <= start + 3) throw new Error("that time is still to come");
  });
  made = await cli("decisions", "report", ...period, "--out", inFolder("report.json"), "--html", inFolder("r.html"));
});
afterAll(() => world.close());

test("decisions report writes both files and says how others check them", () => {
  expect([made.code, made.stdout]).toEqual([0, expect.stringContaining("3 decisions")]);
  expect(made.stderr).toContain("proof402 verify");
});

test("decisions list shows the newest first, takes a purpose and a period, and says how to see more", async () => {
  const all = await cli("decisions", "list", "--limit", "2");
  expect(all.stdout.trimEnd().split("\n")).toEqual([
    expect.stringContaining("truck"),
    expect.stringContaining("line 2"),
  ]);
  expect(all.stderr).toContain("1 to 2 of 3 decisions");
  expect(all.stderr).toContain("For more: proof402 decisions list --limit 2 --skip 2");
  const since = new Date(start + 2).toISOString();
  const some = await cli("decisions", "list", "--purpose", "payroll", "--since", since, "--json");
  expect(JSON.parse(some.stdout)).toMatchObject({ total: 1, decisions: [{ id: ids[1] }], next: expect.any(String) });
  expect((await cli("decisions", "list", "--purpose", "none")).stderr).toContain("No decision fits");
});

test("decisions show tells who decided what on which receipts, by the beginning of an id", async () => {
  const { code, stdout } = await cli("decisions", "show", ids[2]!.slice(0, 14));
  expect(code).toBe(0);
  for (const words of [
    ids[2]!,
    '"truck"',
    '"Ada" and "Grace"',
    '{"pay":"12.50"}',
    ...world.receipts.map(({ id }) => id),
  ])
    expect(stdout).toContain(words);
  const several = await cli("decisions", "show", "dec_");
  expect([several.code, several.stderr]).toEqual([64, expect.stringContaining("decision_ambiguous")]);
  const none = await cli("decisions", "show", "dec_zzz", "--json");
  expect([none.code, JSON.parse(none.stdout)]).toMatchObject([1, { error: { code: "decision_not_found" } }]);
});

test("audit counts decisions, and log head is the head that it ends with", async () => {
  const audited = JSON.parse((await cli("audit", "--json")).stdout) as { decisions: number; head: string };
  expect(audited.decisions).toBe(3);
  expect((await cli("log", "head")).stdout.trim()).toBe(audited.head);
});

test("an auditor verifies the report offline with a trust file and the head", async () => {
  const head = (await cli("log", "head")).stdout.trim();
  const { code, stdout, stderr } = await auditor("verify", "report.json", "--trust", "trust.json", "--head", head);
  expect([code, stderr]).toEqual([0, expect.stringMatching(/newest head given is entry \d+ of 20.*cut off/)]);
  const zero = await auditor("verify", "report.json", "--trust", "trust.json", "--head", "0".repeat(64));
  expect([zero.code, zero.stderr]).toEqual([64, expect.stringContaining("--head")]);
  expect(stdout).toContain("VERIFIED (SIMULATED hardware): judged by trust.json");
  expect(stdout).toContain('2. "line 2é": "approved", by "Ada" and "Grace"');
  const json = await auditor("verify", "report.json", "--trust", "trust.json", "--json");
  expect(JSON.parse(json.stdout)).toMatchObject({
    verdict: "verified",
    problems: [],
    decisions: [{ decision: { id: ids[0] }, differences: [] }, {}, {}],
    head: { hash: head },
    next: expect.stringContaining("cut off"),
  });
});

test("the buyer's own store and no trust file at all judge it, too", async () => {
  expect((await cli("verify", inFolder("report.json"))).code).toBe(0);
  const without = await auditor("verify", "report.json");
  expect([without.code, without.stdout]).toEqual([2, expect.stringMatching(/UNVERIFIED[\s\S]*Differs: Receipt p402_/)]);
});

test("a changed report exits 1 and names what changed; an unreadable one and a wrong head exit 64", async () => {
  const report = JSON.parse(await readFile(inFolder("report.json"), "utf8")) as Report;
  report.decisions[1]!.outcome = "rejected";
  await writeFile(inFolder("changed.json"), serializeReport(report));
  const changed = await auditor("verify", "changed.json", "--trust", "trust.json");
  expect([changed.code, changed.stdout]).toEqual([
    1,
    expect.stringMatching(/FAILED[\s\S]*line 2é.*\[decision_altered\]/),
  ]);
  const other = await auditor("verify", "report.json", "--trust", "trust.json", "--head", "ab".repeat(32));
  expect([other.code, other.stdout]).toEqual([1, expect.stringContaining("[head_missing]")]);
  await writeFile(inFolder("twice.json"), '{"type":"proof402/report","type":"proof402/report"}');
  expect((await auditor("verify", "twice.json", "--trust", "trust.json")).code).toBe(64);
  expect((await auditor("verify", "report.json", "--trust", "trust.json", "--head", "x")).code).toBe(64);
  await writeFile(inFolder("receipt.json"), "{}");
  expect((await auditor("verify", "receipt.json", "--trust", "trust.json", "--head", "ab".repeat(32))).code).toBe(64);
});

test("no sign of a decision or a report steers a terminal", async () => {
  const [one] = world.receipts;
  const action = { to: "a\u009B31m\u202Eb\u200B" };
  world.setTime(new Date(start + 4));
  const what = { purpose: "signs", subject: "signs", outcome: "a\u200Bb", receipts: [one!.id] };
  const { id } = await world.buyer.decide({ ...what, action });
  const shown = await cli("decisions", "show", id);
  expect(shown.stdout).toContain(String.raw`{"to":"a\u009b31m\u202eb\u200b"}`);
  expect(shown.stdout).toContain(String.raw`"a\u200bb"`);
  const report = JSON.parse(await readFile(inFolder("report.json"), "utf8")) as Report;
  for (const change of [{ receiptId: "\u001B[2J" }, { kind: "\u009B2J" }]) {
    const copy = structuredClone(report);
    Object.assign(copy.chain.entries.at(-1)!, change);
    const name = `${Object.keys(change)[0]}.json`;
    await writeFile(inFolder(name), serializeReport(copy));
    const { code, stderr } = await auditor("verify", name, "--trust", "trust.json");
    expect([code, stderr]).toEqual([64, expect.not.stringContaining("2J")]);
  }
});

test("a report overwrites no file, and a period without decisions' time is refused", async () => {
  const again = await cli(
    "decisions",
    "report",
    "--from",
    "2026-10-01",
    "--to",
    "2026-11-01",
    "--out",
    inFolder("report.json"),
  );
  expect([again.code, again.stderr]).toEqual([64, expect.stringContaining("file_exists")]);
  const turned = await cli(
    "decisions",
    "report",
    "--from",
    "2026-11-01",
    "--to",
    "2026-10-01",
    "--out",
    inFolder("n.json"),
  );
  expect([turned.code, turned.stderr]).toEqual([64, expect.stringContaining("no length")]);
});

test("a report of one purpose names the purposes left out, and one over a broken log ends in failure", async () => {
  const period = ["--from", new Date(start + 1).toISOString(), "--to", "2100-01-01"];
  const make = (name: string) =>
    cli(
      "decisions",
      "report",
      ...period,
      "--purpose",
      "payroll",
      "--out",
      inFolder(`${name}.json`),
      "--html",
      inFolder(`${name}.html`),
    );
  expect([(await make("payroll")).code, (await make("again")).stdout]).toEqual([
    0,
    expect.stringMatching(/2 decisions[\s\S]*Left out: 1 of purpose "routing"/),
  ]);
  const told = await auditor("verify", "payroll.json", "--trust", "trust.json");
  expect([told.code, told.stdout]).toEqual([0, expect.stringContaining('Left out: 1 of purpose "routing"')]);
  expect(await readFile(inFolder("payroll.html"), "utf8")).toContain("1 of <bdi>&quot;routing&quot;</bdi>");
  const db = await openDatabase(world.database);
  const { seq } = await db.selectFrom("log").select("seq").orderBy("seq", "desc").executeTakeFirstOrThrow();
  await db
    .updateTable("log")
    .set({ digest: "ab".repeat(32) })
    .where("seq", "=", seq)
    .execute();
  await db.destroy();
  const broken = await make("broken");
  expect([broken.code, broken.stdout]).toEqual([1, expect.stringMatching(/failed[\s\S]*\[chain_altered\]/)]);
  expect(broken.stderr).toContain("not whole");
  expect(await readFile(inFolder("broken.html"), "utf8")).toContain("FAILED");
  expect((await auditor("verify", "broken.json", "--trust", "trust.json")).code).toBe(1);
});
