import { setTimeout as sleep } from "node:timers/promises";
import type { Command } from "commander";
import { whatCame } from "../buyer/background/wait.ts";
import { countWorkers } from "../buyer/background/workers.ts";
import { followChanges } from "../buyer/follow.ts";
import { openBuyer } from "../buyer/open.ts";
import { newestAppraisal } from "../receipts/newest.ts";
import type { Receipt } from "../receipts/schema.ts";
import type { Db } from "../storage/database.ts";
import { shownDatabase } from "../storage/postgres-address.ts";
import { EXIT, globals, note, print } from "./globals.ts";
import { configOf, usable, withStore } from "./session.ts";
import { untilSignal } from "./until-signal.ts";

/** Between two looks for the end of all work, ms. */
const LOOK_MS = 300;

/**
 * `proof402 work`: does the background work of every purchase over the database, until a signal. Workers of a PostgreSQL server
 * share it through pg-boss. Needs no key and moves no money. At the signal it gives its jobs under way to others.
 */
export async function work({ untilIdle = false }: { untilIdle?: boolean }, command: Command): Promise<number> {
  const { json = false, ...rest } = globals(command);
  const config = await configOf(rest);
  let found = 0;
  const tell = (receipt: Receipt): void => {
    found += 1;
    const { verdict, assurance } = newestAppraisal(receipt);
    const at = new Date().toISOString();
    print(
      json
        ? JSON.stringify({ at, receiptId: receipt.id, verdict, assurance })
        : `${at}  ${receipt.id}  ${whatCame(receipt)}`,
    );
  };
  await withStore(rest, (db) =>
    untilSignal(async (ended) => {
      const buyer = await usable(config.database, () => openBuyer({ config, wallet: null, worker: true }));
      let isEnded = false;
      void ended.then(() => (isEnded = true));
      try {
        buyer.onReceipt(tell);
        const others = Math.max(0, (await countWorkers(db)) - 1);
        if (json)
          print(JSON.stringify({ at: new Date().toISOString(), waiting: await countWaiting(db), workers: others + 1 }));
        else
          print(
            `Working over ${shownDatabase(config.database)}: ${await countWaiting(db)} pieces of evidence are awaited${others > 0 ? `, with ${others} more workers` : ""}. Nothing is paid here. Ctrl-C ends it.`,
          );
        const follower = followChanges(db);
        if (untilIdle) while (!isEnded && !(await follower.isIdle())) await sleep(LOOK_MS);
        else await ended;
      } finally {
        await buyer.close();
      }
      if (!json)
        note(`Ended. ${found} receipts were judged again; ${await countWaiting(db)} pieces of evidence are awaited.`);
    }),
  );
  return EXIT.ok;
}

async function countWaiting(db: Db): Promise<number> {
  const { total } = await db
    .selectFrom("jobs")
    .select((eb) => eb.fn.countAll<number>().as("total"))
    .where("state", "<>", "done")
    .executeTakeFirstOrThrow();
  return total;
}
