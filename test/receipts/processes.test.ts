import { spawn } from "node:child_process";
import { once } from "node:events";
import { databasePlace } from "../support/database-place.ts";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { AuditResult } from "../../src/receipts/audit-codes.ts";
import { auditLog } from "../../src/receipts/log.ts";
import { createReceipt } from "../../src/receipts/receipt.ts";
import { listReceipts, readReceipt } from "../../src/receipts/store.ts";
import { receiptCore } from "../support/receipt-core.ts";
import { database, temporaryFile } from "./stores.ts";
import type { Said } from "./writer.ts";
import { bundled } from "../support/bundled.ts";

const writer = bundled(join(import.meta.dirname, "writer.ts"));

beforeAll(() => writer.make());
afterAll(() => writer.remove());

/** Starts writers on one file and lets them go together. `ended` settles when all of them are done. */
async function race(path: string, names: string[], count: number): Promise<{ ended: Promise<string[]> }> {
  const children = names.map((name) => {
    const child = spawn(process.execPath, [writer.file, path, name, String(count)], {
      stdio: ["pipe", "pipe", "inherit"],
    });
    const lines = createInterface(child.stdout);
    const said: string[] = [];
    lines.on("line", (line) => said.push(line));
    return { child, ready: once(lines, "line"), ended: once(lines, "close").then(() => said.at(-1) ?? "") };
  });
  await Promise.all(children.map(({ ready }) => ready));
  for (const { child } of children) child.stdin.write("go\n");
  return { ended: Promise.all(children.map(({ ended }) => ended)) };
}

describe("several processes on one file", () => {
  const COUNT = 20;

  it("keep one chain, and a watcher finds it whole at every moment", async () => {
    const path = await databasePlace(temporaryFile());
    const db = await database(path);
    const { ended } = await race(path, ["a", "b", "c"], COUNT);
    const seen: AuditResult[] = [];
    let running = true;
    const done = ended.then((words) => {
      running = false;
      return words;
    });
    while (running) seen.push(await auditLog(db));
    expect(await done).toEqual(["done", "done", "done"] satisfies Said[]);
    expect(seen.filter(({ ok }) => !ok)).toEqual([]);
    expect(new Set(seen.map((result) => result.ok && result.entries)).size).toBeGreaterThan(1);

    // Each receipt once with its appraisal, evidence and decision; the shared one imported once, told each thing once.
    const receipts = 3 * COUNT + 1;
    const decisions = 3 * COUNT;
    expect(await auditLog(db)).toMatchObject({ ok: true, entries: 3 * COUNT * 4 + 1 + COUNT, receipts, decisions });
    const shared = await readReceipt(db, createReceipt(receiptCore("shared")).id);
    expect(shared?.later).toHaveLength(COUNT);
    const stored = await listReceipts(db, { limit: 1000 });
    expect(new Set(stored.map(({ log }) => log?.seq)).size).toBe(receipts);
  });
});
