import { afterAll, beforeAll, describe, expect, onTestFinished, test } from "vitest";
import { csvOf } from "../../src/tables/csv.ts";
import { toRow } from "../../src/payment/journal-rows.ts";
import { addDecision } from "../../src/receipts/decisions.ts";
import { createReceipt } from "../../src/receipts/receipt.ts";
import type { Receipt } from "../../src/receipts/schema.ts";
import { appendAppraisal, importReceipt } from "../../src/receipts/store.ts";
import { immediate } from "../../src/storage/migrations.ts";
import { appraisal, decisionContent, receiptCore } from "../support/receipt-core.ts";
import { fillReceipts, HOSTILE, openPlace, signIn, type Owner, type Place } from "./owner.ts";

let place: Place;
let owner: Owner;
let receipts: Receipt[];
beforeAll(async () => {
  place = await openPlace();
  receipts = await fillReceipts(place.db, 120, place.clock.now);
  owner = await signIn((await place.serve({ allowApprovals: true })).url);
});
afterAll(() => place.stop());

const textOf = async (path: string): Promise<string> => {
  const { status, text } = await owner.get(path);
  expect(status, path).toBe(200);
  return text;
};
/** The receipts of a list, in its order. */
const listed = (text: string): string[] => [...text.matchAll(/<tr data-receipt="([^"]+)"/g)].map(([, id = ""]) => id);
const linkOf = (text: string, rel: string): string | null =>
  new RegExp(`rel="${rel}" href="([^"]+)"`).exec(text)?.[1]?.replaceAll("&amp;", "&").slice(owner.at.length) ?? null;

/** A purchase with this receipt, as the journal writes it. */
const purchaseOf = ({ id: receiptId, core }: Receipt) =>
  toRow({
    id: crypto.randomUUID(),
    idempotencyKey: crypto.randomUUID(),
    attempt: 1,
    argsDigest: "00".repeat(32),
    state: "settled",
    sellerId: core.seller.id,
    client: null,
    model: core.request.model,
    offer: core.offer,
    accepted: {},
    listedPrice: null,
    payment: core.payment,
    request: { method: "POST", url: core.seller.origin, path: "/", headers: {}, body: "", nonce: core.request.nonce },
    receiptId,
    answeredAt: 0,
    transaction: null,
    reported: null,
    part: null,
    settledAmount: core.payment.amount,
    reason: null,
    createdAt: 0,
    updatedAt: 0,
  });

describe("the list of receipts", () => {
  test("goes page by page through all of them, each once, also where more come meanwhile", async () => {
    const seen: string[] = [];
    let path: string | null = "/receipts?limit=50";
    while (path !== null) {
      const text: string = await textOf(path);
      seen.push(...listed(text));
      path = linkOf(text, "next");
      if (seen.length === 50) await fillReceipts(place.db, 3, place.clock.now + 600_000);
    }
    expect(seen).toHaveLength(120);
    expect(seen).toEqual(receipts.toReversed().map(({ id }) => id));
  });

  test("shows what the filters let through, and writes the same as CSV without a formula", async () => {
    const failed = receipts.filter(({ appraisals }) => appraisals[0]?.verdict === "failed").map(({ id }) => id);
    expect(listed(await textOf("/receipts?verdict=failed&seller=honest&before=2026-11-02T09:00:01Z"))).toEqual(
      failed.filter((id) => receipts.find((one) => one.id === id)?.core.seller.id === "honest").toReversed(),
    );
    const attested = receipts.filter(({ appraisals }) => appraisals[0]?.assurance === "attested");
    const found = listed(await textOf("/receipts?assurance=attested&limit=1000&before=2026-11-02T09:00:01Z"));
    expect(found).toEqual(attested.map(({ id }) => id).toReversed());
    expect(listed(await textOf(`/receipts?model=${encodeURIComponent(HOSTILE)}`))).toHaveLength(12);
    expect(listed(await textOf("/receipts?search=OWNED&limit=1000"))).toHaveLength(12);
    expect(await textOf("/receipts?seller=no-such-seller")).toContain("No receipt fits.");
    const csv = await textOf("/receipts.csv?verdict=verified&seller=another");
    const lines = csv.trimEnd().split("\r\n");
    expect(lines[0]).toMatch(/^asked_at,answered_at,/);
    expect(lines.length - 1).toBe(listed(await textOf("/receipts?verdict=verified&seller=another&limit=1000")).length);
    const all = await textOf("/receipts.csv");
    expect(all).toContain(`"'=cmd|`);
    expect(all).not.toMatch(/(?:^|,)"?=cmd/m);
  });

  test("writes cells of several lines as CSV in quotes, none of their lines a formula", async () => {
    // oxlint-disable-next-line typescript/require-await -- a reader of rows takes them as they come
    async function* lines(): AsyncGenerator<{ model: string }> {
      for (const model of ["risk\n=1+1", "risk\r@SUM(1)", "risk\r\n+1", "a\nb"]) yield { model };
    }
    let text = "";
    for await (const piece of csvOf(lines(), ["model"])) text += piece;
    expect(text).toBe(`model\r\n"risk\n'=1+1"\r\n"risk\r'@SUM(1)"\r\n"risk\r\n'+1"\r\n"a\nb"\r\n`);
  });

  test("says that an id's beginning names several, as of one that names none", async () => {
    const { status, text } = await owner.get("/receipts/p402_");
    expect(status).toBe(404);
    expect(text).toContain("receipt_ambiguous");
  });

  test("T180: shows a seller's text as text on each page, and no hidden sign", async () => {
    const [one] = receipts.filter(({ core }) => core.request.model === HOSTILE);
    await immediate(place.db, (tx) =>
      addDecision(tx, {
        ...decisionContent(one?.id ?? "", new Date(place.clock.now)),
        purpose: "<script>",
        action: { text: HOSTILE },
      }),
    );
    await place.ask({ model: HOSTILE, idempotencyKey: HOSTILE, sellerId: HOSTILE });
    for (const path of [
      "/receipts?limit=1000",
      `/receipts/${one?.id}`,
      "/approvals",
      "/times",
      "/decisions",
      "/sellers",
    ]) {
      const text = await textOf(path);
      expect(text, path).not.toMatch(/<script(?! src="\/[\w-]{22}\/app\.js" defer)|<img|\u202E/);
    }
    const decision = /decisions\/(dec_[a-z2-7]+)/.exec(await textOf("/decisions"))?.[1] ?? "";
    expect(await textOf(`/decisions/${decision}`)).toContain("&lt;script&gt;document.title");
  });

  test("names a row that is damaged, and lists the others", async () => {
    const [one] = receipts;
    await place.db
      .updateTable("receipts")
      .set({ json: "{}" })
      .where("id", "=", one?.id ?? "")
      .execute();
    await place.db
      .updateTable("receipts")
      .set({ json: "no json" })
      .where("id", "=", receipts[1]?.id ?? "")
      .execute();
    const text = await textOf("/receipts?limit=1000");
    expect(text.match(/damaged/g)).toHaveLength(4);
    expect(await textOf("/times")).toContain("Medians by seller");
    expect(await owner.get(`/receipts/${one?.id}`)).toMatchObject({ status: 503 });
    expect(await owner.get("/receipts/p402_nosuchone")).toMatchObject({ status: 404 });
  });
});

test("every page of the navigation is there, says what it shows, and answers nothing else", async () => {
  const paths = [...(await textOf("/receipts")).matchAll(/<a href="\/[\w-]{22}(\/[a-z]+)"/g)].map(
    ([, path = ""]) => path,
  );
  expect(paths).toContain("/channels");
  expect(paths).toHaveLength(8);
  for (const path of paths) expect(await textOf(path)).toMatch(/<h1>[A-Z]/);
  expect(await owner.get("/no-such-page")).toMatchObject({ status: 404 });
  expect(await textOf("/spending.csv")).toBe(
    "at,seller,model,payment,reason,amount,symbol,token,network,idempotency_key,receipt,verdict\r\n",
  );
});

test("an imported receipt is marked, and counts for no seller and no time", async () => {
  const other = await openPlace();
  onTestFinished(() => other.stop());
  const [own] = await fillReceipts(other.db, 1, other.clock.now);
  const foreign = createReceipt(receiptCore("imported"));
  await immediate(other.db, async (tx) => {
    await importReceipt(tx, foreign, new Date(other.clock.now));
    await appendAppraisal(tx, foreign.id, appraisal({ verdict: "verified" }));
  });
  const person = await signIn((await other.serve()).url);
  const rows = (await person.get("/receipts")).text.split("<tr").filter((row) => row.includes("data-receipt"));
  expect(rows.map((row) => [row.includes(foreign.id), row.includes(">imported<")])).toEqual(
    expect.arrayContaining([
      [true, true],
      [false, false],
    ]),
  );
  expect((await person.get(`/receipts/${foreign.id}`)).text).toContain("counts for none of the figures");
  expect((await person.get(`/receipts/${own?.id}`)).text).not.toContain("counts for none of the figures");
  const times = (await person.get("/times")).text;
  expect(times).toContain(own?.id);
  expect(times).not.toContain(foreign.id);
  await other.db.updateTable("receipts").set({ seller_id: "honest" }).execute();
  expect((await person.get("/sellers")).text).toMatch(
    /honest<\/th>(?:\s*<td[^>]*>[^<]*<\/td>){3}\s*<td class="sum">1</,
  );
  // One that this buyer bought itself and then brought in from a file is its own, as the accountant's table says.
  await immediate(other.db, (tx) => tx.insertInto("purchases").values(purchaseOf(foreign)).execute());
  expect((await person.get("/receipts")).text).not.toContain(">imported<");
  expect((await person.get("/receipts.csv")).text).toMatch(new RegExp(`${foreign.id}.*this buyer`));
  expect((await person.get("/times")).text).toContain(foreign.id);
});

test("a payment's page shows what is asked of the model, harmless and shortened, and the caps", async () => {
  const id = await place.ask({ input: { messages: [{ role: "user", content: HOSTILE + "x".repeat(30_000) }] } });
  const text = await textOf(`/approvals/${id}`);
  expect(text).toContain("&lt;script&gt;");
  expect(text).not.toContain("<script>document");
  expect(text).toMatch(/The first 20000 of its 301\d\d characters/);
  expect(text).toContain("0.01 USDC ($0.01) a purchase");
  expect(text).toContain("any 24 hours");
  expect(await textOf(`/approvals/${await place.ask({ input: "words" })}`)).not.toContain("The first");
});

describe("a seller on hold", () => {
  test("is released by the form that showed the hold, once", async () => {
    const hold = { receipt_id: receipts[3]?.id ?? "", reason: "computation: digest_differs", at: 1, released_at: null };
    await place.db
      .insertInto("seller_holds")
      .values({ seller_id: "honest", ...hold })
      .execute();
    const page = await owner.get("/sellers");
    expect(page.text).toContain("honest is on hold");
    expect(page.text).toContain("proof402 sellers release honest");
    // The seller failed again since: another hold than the one that was read.
    await place.db.updateTable("seller_holds").set({ at: 2, reason: "payment: other" }).execute();
    expect(await owner.press("/sellers/honest/release", "release", page)).toMatchObject({ status: 409 });
    const old = await owner.get("/sellers");
    place.clock.now += 3_600_000;
    expect(await owner.press("/sellers/honest/release", "release", old)).toMatchObject({ status: 403 });
    const again = await owner.get("/sellers");
    expect(await owner.press("/sellers/honest/release", "release", again)).toMatchObject({ status: 303 });
    expect(await owner.press("/sellers/honest/release", "release", again)).toMatchObject({ status: 409 });
    expect((await owner.get("/sellers")).text).not.toContain("is on hold");
    const row = await place.db.selectFrom("seller_holds").select("released_at").executeTakeFirst();
    expect(row?.released_at).toBe(place.clock.now);
  });
});
