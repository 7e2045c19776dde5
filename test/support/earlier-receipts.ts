import { sql } from "kysely";
import type { Appraisal, Receipt } from "../../src/receipts/schema.ts";
import { addReceipt, readReceipt } from "../../src/receipts/store.ts";
import type { Db } from "../../src/storage/database.ts";
import { immediate } from "../../src/storage/migrations.ts";

/** Stores receipts as programs did before rows were packed: each one's JSON is whole in its row. */
export async function addEarlierReceipts(old: Db, receipts: readonly Receipt[], appraised: Appraisal): Promise<void> {
  await sql`alter table receipts add column packed blob`.execute(old);
  await sql`create table contents (hash text primary key, packed blob not null) strict`.execute(old);
  await immediate(old, async (tx) => {
    for (const one of receipts) {
      await addReceipt(tx, one, appraised, new Date());
      const json = JSON.stringify(await readReceipt(tx, one.id));
      await tx.updateTable("receipts").set({ json, packed: null }).where("id", "=", one.id).execute();
    }
  });
  await sql`drop table contents`.execute(old);
  await sql`alter table receipts drop column packed`.execute(old);
}
