import { sql } from "kysely";
import { fillReceipts, openPlace, signIn, type Owner, type Place } from "../dashboard/owner.ts";
import { median, row, type Line } from "./measure.ts";

const COUNTS = [100_000, 1_000_000] as const;

/** The pages, and the list under filters. */
const PAGES = {
  "the list": "/receipts",
  "a search that finds many": "/receipts?search=eth",
  "a search that finds none": "/receipts?search=nothing-has-this",
  "filters that none fits": "/receipts?seller=honest&verdict=failed&model=none",
  "a filter by assurance": "/receipts?assurance=attested&seller=honest",
  spending: "/spending",
  times: "/times",
  sellers: "/sellers",
} as const;

/**
 * The owner's pages over 100,000 and 1,000,000 receipts. The newest 300 are whole, since pages read them; of the others each row has a
 * beginning of the right form.
 */
export async function benchManyReceipts(rounds: number): Promise<Line[]> {
  const place = await openPlace();
  try {
    const lines: Line[] = [];
    let owner: Owner | null = null;
    for (const count of COUNTS) {
      await fill(place, count);
      owner ??= await signIn((await place.serve()).url);
      for (const [name, path] of Object.entries(PAGES))
        lines.push(row(`${count} receipts: ${name}`, await timeOf(owner, path, rounds)));
    }
    return lines;
  } finally {
    await place.stop();
  }
}

/** Adds rows up to this many, an hour older than the newest ones. */
async function fill({ db, clock }: Place, count: number): Promise<void> {
  const before = clock.now - 3_600_000 - count;
  await sql`insert or ignore into receipts (id, json, seller_id, model, verdict, created_at, payment_nonce)
    with recursive n(i) as (select 1 union all select i + 1 from n where i < ${count})
    select 'p402_row' || printf('%08d', i), '{"appraisals":[{"assurance":"signed"}],"pad":"' || hex(zeroblob(400)) || '"}',
      iif(i % 2 = 0, 'honest', 'another'), 'eth-risk', iif(i % 5 = 0, 'failed', 'verified'), ${before} + i, 'n' || i
    from n`.execute(db);
  await fillReceipts(db, 300, clock.now + count);
}

async function timeOf(owner: Owner, path: string, rounds: number): Promise<number> {
  const times: number[] = [];
  for (let round = 0; round < Math.min(rounds, 5); round += 1) {
    const begun = performance.now();
    const { status } = await owner.get(path);
    if (status !== 200) throw new Error(`${path}: ${status}`);
    times.push(performance.now() - begun);
  }
  return median(times);
}
