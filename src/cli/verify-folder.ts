import type { Dirent } from "node:fs";
import { opendir } from "node:fs/promises";
import { once } from "node:events";
import { join } from "node:path";
import { judgeAgain, judgeContext } from "../buyer/judge.ts";
import type { Config } from "../config/schema.ts";
import { Proof402Error } from "../errors.ts";
import { VERDICTS, type Assurance, type Verdict } from "../receipts/schema.ts";
import { builtFile } from "../subprocess/run.ts";
import { openThreads } from "../subprocess/threads.ts";
import type { AppraisalPolicy } from "../verify/policy.ts";
import { colour as pc } from "./colour.ts";
import { EXIT, note, print, type GlobalOptions } from "./globals.ts";
import { eachFile, judgeFiles, type FilesToJudge, type FileVerdict } from "./judge-files.ts";
import { VERDICT_COLOUR } from "./layer-table.ts";
import { visible } from "./quoted.ts";
import { withStore } from "./session.ts";
import { EXIT_OF } from "./verify-report.ts";

/** Files judged in one go. */
const AT_ONCE = 32;
/** The files that are worth the start of threads. */
const THREADED_FROM = 128;
/** Entries of a folder that are kept to sort them, and read at a time. */
const MOST_SORTED = 50_000;
const ENTRIES_READ = 1000;
/** Bounds the sentences about limits of the proofs at the end. */
const MOST_LIMITS = 32;
/** Bounds the receipts told apart, since a folder may hold copies, and the policies, by their hashes. */
const MOST_DISTINCT = 100_000;
const MOST_POLICIES = 16;

type Asked = {
  at: Date | undefined;
  assurance: Assurance | undefined;
  policy: AppraisalPolicy;
  /** The judge, by its name. */
  by: string;
  /** The configuration whose store knows more of its own receipts than a file tells; null to judge by the files alone. */
  store: Config | null;
};

/** Counts the entries passed by: files of other names, and links, possibly to folders. */
type Passed = Record<"others" | "links", number>;

/** How a group of files is judged. `width`: groups worth being under way at once. */
type Judges = { width: number; run(files: readonly string[]): Promise<FileVerdict[]>; close(): Promise<void> };

const NEXT: Readonly<Record<Verdict | "unreadable", string>> = {
  verified: "Act within what notProven says: these verdicts do not cover it.",
  pending: "Get the pending receipts again from their buyer later: evidence is still to come.",
  failed: "Do not act on the failed answers. `proof402 verify FILE` says why.",
  unverified: "Treat the unverified answers as unproven. `proof402 verify FILE` says what is missing.",
  unreadable: "Get the unreadable files again from where they were made; none of them can be trusted.",
};

/**
 * Judges each receipt file of a folder and of the folders in it, in the order of their names, and prints one line for each, then the
 * sums. Files end in `.json`; others are counted and not read. By files alone it runs on all cores. Memory does not grow with the files. The exit code is that of the worst file.
 */
export async function verifyFolder(
  folder: string,
  asked: Asked,
  { json, rest }: { json: boolean; rest: GlobalOptions },
): Promise<number> {
  const { store } = asked;
  const walk: Passed = { others: 0, links: 0 };
  const groups = inGroups(filesIn(folder, walk));
  const found: Found = {
    ...sumsOf(() => 0),
    simulated: 0,
    limits: new Map(),
    policies: new Set(),
    receipts: new Set(),
  };
  const wanted = asked.policy.assurance;
  const run = (judges: Judges): Promise<boolean> =>
    judgeInOrder(groups, judges, (one) => show(one, found, { json, wanted }));
  let isWhole = false;
  if (store !== null)
    isWhole = await withStore(rest, (db) => {
      const context = judgeContext(store, db);
      return run({
        width: 1,
        run: (files) => eachFile(files, (receipt) => judgeAgain(context, receipt, asked), { isStored: true }),
        close: () => Promise.resolve(),
      });
    });
  else isWhole = await run(byFilesAlone(asked));
  // The reader is gone: what was not judged is said to be so, by the exit code alone.
  if (!isWhole) return EXIT.interrupted;
  const total = COUNTED.reduce((sum, one) => sum + found[one], 0);
  if (total === 0)
    throw new Proof402Error("usage", `${visible(folder)} holds no file whose name ends in .json.`, {
      next: "Name a folder of receipt files, as `proof402 receipts export` writes them.",
    });
  const worst = WORST_FIRST.find((one) => found[one] > 0) ?? "verified";
  const sums = { files: total, ...sumsOf((one) => found[one]), simulated: found.simulated };
  const receipts = found.receipts.size > MOST_DISTINCT ? null : found.receipts.size;
  const policies = [...found.policies];
  const limits = [...found.limits].slice(0, MOST_LIMITS);
  if (json) {
    const { others: otherFiles, links } = walk;
    const by = { judgedBy: asked.by, policyHashes: policies };
    await out(JSON.stringify({ ...sums, receipts, otherFiles, links, ...by, next: NEXT[worst] }));
  } else {
    const counted = COUNTED.filter((one) => found[one] > 0);
    const passed = [`${walk.others} others`, `${walk.links} links`].filter((one) => !one.startsWith("0 "));
    const others = passed.length === 0 ? "" : `; ${passed.join(" and ")} were not looked at`;
    const copies = receipts === null || receipts === total - found.unreadable ? "" : ` of ${receipts} receipts`;
    const by = policies.length === 0 ? "" : `, ${policies.length === 1 ? "policy" : "policies"} ${policies.join(", ")}`;
    print(
      [
        `${total} files${copies}: ${counted.map((one) => `${found[one]} ${one}`).join(", ")}${found.simulated === 0 ? "" : pc.yellow(`, ${found.simulated} of them on SIMULATED hardware`)}${others}. Judged by ${asked.by}${by}`,
        ...(limits.length === 0 ? [] : [pc.bold("What this does not prove")]),
        ...limits.map(([words, times]) => `- ${words} (${times} files)`),
        ...(limits.length < found.limits.size ? ["- More of single files: `proof402 verify FILE` says it."] : []),
      ].join("\n"),
    );
    note(NEXT[worst]);
  }
  return EXITS[worst];
}

/** What was found so far. `policies` and `receipts` are bounded. */
type Found = Sums & {
  simulated: number;
  limits: Map<string, number>;
  policies: Set<string>;
  receipts: Set<string>;
};

/** How many files have each verdict, and how many could not be read. */
type Sums = Record<Verdict | "unreadable", number>;
const COUNTED = [...VERDICTS, "unreadable"] as const;
const sumsOf = (of: (one: keyof Sums) => number): Sums =>
  Object.fromEntries(COUNTED.map((one) => [one, of(one)])) as Sums;
const WORST_FIRST = ["failed", "unreadable", "unverified", "pending"] as const;
const EXITS: Readonly<Record<keyof Sums, number>> = { ...EXIT_OF, unreadable: EXIT.usage };

/** Judges by nothing but the files: here at first, on threads from so many files on. */
function byFilesAlone({ policy, at }: Asked): Judges {
  const orderOf = (files: readonly string[]): FilesToJudge => ({ files, policy, at: at?.toISOString() ?? null });
  let [asked, threads]: [number, ReturnType<typeof openThreads<FilesToJudge, FileVerdict[]>> | null] = [0, null];
  return {
    get width() {
      return threads?.width ?? 1;
    },
    run(files) {
      asked += files.length;
      if (asked > THREADED_FROM) threads ??= openThreads(builtFile(import.meta.url, "judge-thread"), judgeFiles);
      return (threads ?? { run: judgeFiles }).run(orderOf(files));
    },
    close: async () => threads?.close(),
  };
}

/** Judges some groups at once, and tells their verdicts in the order of the files. False if the one who is told has gone. */
async function judgeInOrder(
  groups: AsyncIterable<readonly string[]>,
  judges: Judges,
  tell: (verdict: FileVerdict) => Promise<boolean>,
): Promise<boolean> {
  const open: Promise<FileVerdict[]>[] = [];
  const settle = async (left: number): Promise<boolean> => {
    while (open.length > left)
      for (const verdict of (await open.shift()) ?? []) if (!(await tell(verdict))) return false;
    return true;
  };
  try {
    for await (const files of groups) {
      const judged = judges.run(files);
      // Told when its turn comes.
      judged.catch(() => undefined);
      open.push(judged);
      if (!(await settle(judges.width - 1))) return false;
    }
    return await settle(0);
  } finally {
    await judges.close();
  }
}

/**
 * The files of a folder by their names, those of the folders in it among them. Follows no link to a folder. Sorts so many entries
 * at a time as are kept. Gives an unreadable folder as a file.
 *
 * @yields A file's path.
 */
async function* filesIn(folder: string, walk: Passed): AsyncGenerator<string> {
  let kept: Dirent[] = [];
  async function* inOrder(): AsyncGenerator<string> {
    const entries = kept.sort((a, b) => (a.name < b.name ? -1 : 1));
    kept = [];
    for (const entry of entries) yield* filesOf(folder, entry, walk);
  }
  try {
    for await (const entry of await opendir(folder, { bufferSize: ENTRIES_READ })) {
      kept.push(entry);
      if (kept.length === MOST_SORTED) yield* inOrder();
    }
  } catch {
    yield* inOrder();
    // Read as a file it is told as unreadable, and the others go on.
    yield folder;
    return;
  }
  yield* inOrder();
}

async function* filesOf(folder: string, entry: Dirent, walk: Passed): AsyncGenerator<string> {
  const path = join(folder, entry.name);
  if (entry.isDirectory()) yield* filesIn(path, walk);
  else if (/\.json$/i.test(entry.name)) yield path;
  else if (entry.isSymbolicLink()) walk.links += 1;
  else walk.others += 1;
}

async function* inGroups(files: AsyncIterable<string>): AsyncGenerator<readonly string[]> {
  let group: string[] = [];
  for await (const file of files) {
    group.push(file);
    if (group.length < AT_ONCE) continue;
    yield group;
    group = [];
  }
  if (group.length > 0) yield group;
}

async function show(
  one: FileVerdict,
  found: Found,
  { json, wanted }: { json: boolean; wanted: Assurance },
): Promise<boolean> {
  const verdict = "error" in one ? "unreadable" : one.verdict;
  found[verdict] += 1;
  if (!("error" in one)) {
    if (one.simulated) found.simulated += 1;
    if (found.receipts.size <= MOST_DISTINCT) found.receipts.add(one.receipt);
    if (found.policies.size < MOST_POLICIES) found.policies.add(one.policyHash);
    for (const words of one.notProven)
      if (found.limits.has(words) || found.limits.size <= MOST_LIMITS)
        found.limits.set(words, (found.limits.get(words) ?? 0) + 1);
  }
  return out(json ? JSON.stringify(one) : lineOf(one, wanted));
}

function lineOf(one: FileVerdict, wanted: Assurance): string {
  const file = visible(one.file);
  if ("error" in one) return `${pc.red("unreadable")}  ${file}  ${visible(one.message)} [${one.error}]`;
  const open = Object.entries(one.layers).filter(([, { status }]) => status !== "skip" || one.verdict === "unverified");
  const why = one.verdict === "verified" ? "" : `  ${open.map(([layer, { code }]) => `${layer}: ${code}`).join(", ")}`;
  const simulated = one.simulated ? pc.yellow(" (SIMULATED hardware)") : "";
  const asked = one.wanted === wanted ? "" : pc.yellow(`, wanted ${one.wanted}`);
  return `${VERDICT_COLOUR[one.verdict](one.verdict.padEnd(10))}  ${one.assurance}${simulated}${asked}  ${one.receipt}  ${file}${why}`;
}

/** Writes a line, and waits for a reader that is slower. False if the reader is gone. */
async function out(line: string): Promise<boolean> {
  const { stdout } = process;
  if (!stdout.write(`${line}\n`) && stdout.writable)
    await Promise.race([once(stdout, "drain"), once(stdout, "close")]).catch(() => null);
  return stdout.writable;
}
