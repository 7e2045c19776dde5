import { setImmediate as nextTurn } from "node:timers/promises";
import { fromHex, toHex } from "../evidence/bytes.ts";
import { GENESIS } from "../evidence/log-chain.ts";
import { emptyTree } from "../evidence/merkle-tree.ts";
import { Proof402Error } from "../errors.ts";
import type { Db } from "../storage/database.ts";
import { brokenEntry, readEntries } from "./log-entries.ts";

/** Rows read at a time. */
const ROWS_PER_PAGE = 2000;

/** The root over the log's first entries: RFC 9162's tree over their hashes. `root` is 32 bytes as hex. */
export type LogRoot = { entries: number; root: string };

/**
 * Walks the log's chain as far as `entries` and makes the root over it; over fewer where the log has fewer. Throws
 * Proof402Error `log_broken` where an entry is not what its hash says or does not follow the one before it.
 */
export async function rootOfLog(db: Db, entries: number): Promise<LogRoot> {
  const tree = emptyTree();
  let [seen, head] = [0, GENESIS];
  while (seen < entries) {
    const rows = await readEntries(db, seen, Math.min(ROWS_PER_PAGE, entries - seen));
    for (const row of rows) {
      if (brokenEntry(row, seen, head) !== null)
        throw new Proof402Error("log_broken", `The log is broken at entry ${seen + 1}.`, {
          next: "Look at it with: proof402 audit",
        });
      tree.add(fromHex(row.hash));
      [seen, head] = [row.seq, row.hash];
    }
    if (rows.length === 0) break;
    await nextTurn();
  }
  return { entries: seen, root: toHex(tree.root()) };
}
