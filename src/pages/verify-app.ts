import { isReport, MAX_REPORT_BYTES } from "../receipts/report-schema.ts";
import { textOf } from "../evidence/bytes.ts";
import { parseJsonText } from "../evidence/json-text.ts";
import { appraisalPolicySchema, policyHash, sellerOf, trustSchema, type AppraisalPolicy } from "../verify/policy.ts";
import { verifyReport } from "../verify/verify-report.ts";
import { verifyReceipt } from "../verify/verify-receipt.ts";
import { html, type Html } from "./html.ts";
import { receiptArticle } from "./receipt-page.ts";
import { reportArticle } from "./report-page.ts";

/** The script of `verify.html`: it judges the files that a person drops on the page. Nothing leaves the page. */

type Dropped = { name: string; bytes: Uint8Array };
type Trust = { name: string; policy: AppraisalPolicy };

const receipts: Dropped[] = [];
let trust: Trust | null = null;
/** Verdicts of an earlier choice of files come too late. */
let turn = 0;

const find = (id: string): HTMLElement => {
  const found = document.getElementById(id);
  if (found === null) throw new Error(`no #${id}`);
  return found;
};

async function take(files: Iterable<File>): Promise<void> {
  for (const file of files) {
    // One byte more than a report may have, so that its fault is named.
    const bytes = new Uint8Array(await file.slice(0, MAX_REPORT_BYTES + 1).arrayBuffer());
    const found = trustIn(file.name, bytes);
    if (found === null) receipts.push({ name: file.name, bytes });
    else trust = found;
  }
  await show();
}

function trustIn(name: string, bytes: Uint8Array): Trust | null {
  const json = parseJsonText(textOf(bytes) ?? "");
  const parsed = json.ok ? trustSchema.safeParse(json.value) : null;
  return parsed?.success === true ? { name, policy: parsed.data.policy } : null;
}

async function show(): Promise<void> {
  turn += 1;
  const mine = turn;
  find("trusted").textContent =
    trust === null
      ? "No trust file: nothing pinned is checked, and no receipt can be verified."
      : `Judged by ${trust.name}, policy ${policyHash(trust.policy)}.`;
  const articles: Html[] = [];
  for (const one of receipts) articles.push(await judge(one));
  if (mine !== turn) return;
  find("results").innerHTML = html`${articles}`.markup;
  find("results").dataset["shown"] = String(mine);
}

async function judge({ name, bytes }: Dropped): Promise<Html> {
  const policy = trust?.policy ?? appraisalPolicySchema.parse({});
  const judgedBy = trust === null ? "no trust file" : `the trust file ${trust.name}`;
  const knows = (seller: string): boolean => sellerOf(policy, seller) !== undefined;
  if (isReport(bytes)) {
    const judged = await verifyReport(bytes, policy);
    if (judged.ok)
      return html`<p>File ${name}</p>
        ${await reportArticle(judged, { judgedBy, knows })}`;
    return html`<article>
      <h1 class="failed">NOT A REPORT THAT CAN BE TRUSTED</h1>
      <p>${name}: ${judged.message} <code>${judged.code}</code></p>
    </article>`;
  }
  const verified = await verifyReceipt(bytes, policy);
  if (!verified.ok)
    return html`<article>
      <h1 class="failed">NOT A RECEIPT THAT CAN BE TRUSTED</h1>
      <p>${name}: ${verified.message} <code>${verified.code}</code></p>
    </article>`;
  const { receipt, appraisal, facts } = verified;
  const known = knows(receipt.core.seller.id);
  return html`<p>File ${name}</p>
    ${receiptArticle({ receipt, appraisal, facts, known, judgedBy })}`;
}

const input = find("files") as HTMLInputElement;
input.addEventListener("change", () => void take([...(input.files ?? [])]));
document.addEventListener("dragover", (event) => event.preventDefault());
document.addEventListener("drop", (event) => {
  event.preventDefault();
  void take([...(event.dataTransfer?.files ?? [])]);
});
void show();
