import { html } from "../pages/html.ts";
import { receiptArticle } from "../pages/receipt-page.ts";
import { importedAmong } from "../receipts/imported.ts";
import { newestAppraisal } from "../receipts/newest.ts";
import { serializeReceipt } from "../receipts/receipt.ts";
import { fullId } from "../receipts/search.ts";
import { requireReceipt } from "../receipts/store.ts";
import { readFacts } from "../verify/facts.ts";
import { badge, type Shown, type View } from "./view.ts";

/** One receipt under its stored verdict. Throws Proof402Error as `requireReceipt`. */
export async function receiptPage({ db, config, at }: View, given: string): Promise<Shown> {
  const receipt = await requireReceipt(db, await fullId(db, given));
  const appraisal = newestAppraisal(receipt);
  const imported = await importedAmong(db, [receipt.id]);
  const article = receiptArticle({
    receipt,
    appraisal,
    facts: await readFacts(receipt),
    // A seller that the configuration names no more was known to the stored verdict, unless that is `unverified`.
    known: appraisal.verdict !== "unverified" || config.sellers.some(({ id }) => id === receipt.core.seller.id),
    judgedBy: "this buyer's configuration",
    tokens: config.payment.assets,
  });
  return {
    title: `Receipt ${receipt.id}`,
    titled: true,
    body: html`<p id="live" role="status"></p>
      ${imported.has(receipt.id) ? html`<p class="warn">${badge("imported")}: it came from a file, and counts for none of the figures here.</p>` : ""}
      <div data-live="receipt" data-receipt="${receipt.id}">${article}</div>
      <p>
        <a href="${at}/receipts/${receipt.id}/file" download>Save the receipt's file</a>. It holds what was asked and
        answered.
      </p>`,
  };
}

/** A receipt's file as others verify it. */
export async function receiptFile({ db }: View, id: string): Promise<{ name: string; bytes: Uint8Array<ArrayBuffer> }> {
  const receipt = await requireReceipt(db, await fullId(db, id));
  return { name: `${receipt.id}.json`, bytes: new Uint8Array(serializeReceipt(receipt)) };
}
