import { textOf } from "../evidence/bytes.ts";
import { parseJsonText } from "../evidence/json-text.ts";
import { purchaseNonceOf } from "../evidence/payment-binding.ts";
import { isReport } from "../receipts/report-schema.ts";
import type { Receipt, Verdict } from "../receipts/schema.ts";
import { appraisalPolicySchema, policyHash, sellerOf, trustSchema, type AppraisalPolicy } from "../verify/policy.ts";
import type { VerificationCache } from "../verify/verification-cache.ts";
import { verifyReceipt } from "../verify/verify-receipt.ts";
import { verifyReport } from "../verify/verify-report.ts";
import { nameOf, quotedName } from "./file-name.ts";
import { html, type Html } from "./html.ts";
import { said } from "./parts.ts";
import { receiptArticle } from "./receipt-page.ts";
import { reportArticle } from "./report-page.ts";
import type { Rests } from "./shared-payments.ts";

/** A trust file that a reader chose. */
export type Trust = { name: string; policy: AppraisalPolicy; hash: string };

/** A file's place in a list, and its page. */
export type JudgedFile = {
  verdict: Verdict | "refused";
  simulated: boolean;
  /** What it is, in a few words of the file. */
  about: string;
  /** The code of a refusal. */
  code: string | null;
  /** Its receipts and their payments: two files may be of one. */
  rests: Rests;
  /** Its page, made when it is asked for: a list of a thousand files shows none. */
  article: () => Html | Promise<Html>;
};

const MARK = "proof402/trust";

/** A trust file's content, null for another kind of file, or what is wrong with a file that calls itself one. */
export function readTrust(name: string, bytes: Uint8Array): Trust | "malformed" | null {
  const text = textOf(bytes);
  if (text?.includes(MARK) !== true) return null;
  const json = parseJsonText(text);
  const type: unknown =
    json.ok && typeof json.value === "object" && json.value !== null ? Reflect.get(json.value, "type") : null;
  if (type !== MARK) return null;
  const parsed = trustSchema.safeParse(json.ok ? json.value : undefined);
  if (!parsed.success) return "malformed";
  const { policy } = parsed.data;
  return { name, policy, hash: policyHash(policy) };
}

/** Judges one file by a trust file, or by nothing. Never throws on what a file holds. */
export async function judgeFile(
  { name, bytes }: { name: string; bytes: Uint8Array },
  trust: Trust | null,
  session: VerificationCache,
): Promise<JudgedFile> {
  const policy = trust?.policy ?? appraisalPolicySchema.parse({});
  const judgedBy = trust === null ? "no trust file" : `the trust file ${quotedName(trust.name)}`;
  const knows = (seller: string): boolean => sellerOf(policy, seller) !== undefined;
  if (isReport(bytes)) {
    const judged = await verifyReport(bytes, policy);
    if (!judged.ok) return refused("report", name, judged);
    const { period } = judged.report;
    return {
      verdict: judged.verdict,
      simulated: judged.simulated,
      about: `report of ${judged.decisions.length} decisions, ${period.from} until before ${period.to}`,
      code: null,
      rests: { kind: "report", receipts: judged.receipts.map(({ receipt }) => restOf(receipt)) },
      article: () => reportArticle(judged, { judgedBy, knows }),
    };
  }
  const verified = await verifyReceipt(bytes, policy, { session });
  if (!verified.ok) return refused("receipt", name, verified);
  const { receipt, appraisal, facts } = verified;
  const { core } = receipt;
  const known = knows(core.seller.id);
  return {
    verdict: appraisal.verdict,
    simulated: appraisal.simulated,
    about: `${core.request.model} of ${core.seller.id}, ${core.response.receivedAt}`,
    code: null,
    rests: { kind: "receipt", receipts: [restOf(receipt)] },
    article: () => receiptArticle({ receipt, appraisal, facts, known, judgedBy }),
  };
}

function restOf({ id, core }: Receipt): Rests["receipts"][number] {
  const { network, asset, payer } = core.payment;
  return { id, purchase: [network, asset, payer, purchaseNonceOf(core.payment)].join(" ") };
}

/** A file that says nothing: why, and what its reader can do. */
export function refused(
  kind: "receipt" | "report" | "file",
  name: string,
  { code, message }: { code: string; message: string },
): JudgedFile {
  return {
    verdict: "refused",
    simulated: false,
    about: message,
    code,
    rests: { kind: "receipt", receipts: [] },
    article: () =>
      html`<article>
        <h1 class="failed">NOT A ${kind.toUpperCase()} THAT CAN BE TRUSTED</h1>
        <p>${said(message)} <code>${code}</code></p>
        <p>The file: ${nameOf(name)}</p>
        <p>Nothing in this file was judged. Get it again from where it was made.</p>
      </article>`,
  };
}
