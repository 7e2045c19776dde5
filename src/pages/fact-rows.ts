import type { Facts } from "../verify/facts.ts";

/** A fact in words, under a short name. */
export type FactRow = { name: string; words: string };

/** The facts of a receipt in words, for pages and terminals. Nothing in them is a verdict. */
export function factRows({ platform, key, tls, hashes, times, terms, agreement }: Facts): FactRow[] {
  const part = (name: "request" | "response"): string =>
    `keccak256 ${hashes[name].keccak256}${hashes[name].sha256 === null ? " (bytes left out)" : `, sha256 ${hashes[name].sha256}`}`;
  return rows({
    ...attested(platform),
    ...(key === null
      ? {}
      : {
          key: `${key.id} (${key.bound ? "bound by the document" : "NOT bound by the document"}; ${key.signedExchange ? "signed these bytes" : "did NOT sign these bytes"})`,
        }),
    TLS: `the document names ${tls.named ?? "no certificate"}; the buyer says it saw ${tls.seen ?? "none"}`,
    request: part("request"),
    response: part("response"),
    times: `sent ${times.sentAt}, signed ${times.signedAt ?? "never"}, received ${times.receivedAt}`,
    terms: `as the file tells them: ${terms.amount} base units of ${terms.asset} on ${terms.network} (${terms.scheme}), from ${terms.payer} to ${terms.payTo}`,
    ...(agreement === null ? {} : { agreed: agreedText(agreement) }),
  });
}

const rows = (named: Readonly<Record<string, string>>): FactRow[] =>
  Object.entries(named).map(([name, words]) => ({ name, words }));

function attested(platform: Facts["platform"]): Record<string, string> {
  if (platform === null) return { root: "no attestation" };
  const { root, rootIsAws, genuine, problem, time, validFrom, validUntil, answersNonce, measurements } = platform;
  return {
    root: `${root ?? "unreadable"} ${rootIsAws ? "(AWS Nitro)" : "(not AWS's: made on some machine)"}`,
    document: genuine ? "chain and signature hold up to that root" : `does not hold: ${problem ?? ""}`,
    "attested at": `${timeText(time)}, certificates valid ${timeText(validFrom)} to ${timeText(validUntil)}`,
    nonce: answersNonce ? "answered" : "NOT answered",
    ...Object.fromEntries(Object.entries(measurements).map(([index, digest]) => [`PCR${index}`, digest])),
  };
}

function agreedText({ signer, byPayer }: NonNullable<Facts["agreement"]>): string {
  if (byPayer === null) return "the signature shown names no payer, and nothing else that is signed here names one";
  return byPayer
    ? `the payer's key ${signer ?? ""} signed exactly these terms`
    : "the signature shown is NOT the payer's of these terms";
}

/** A time in ISO form. A document may be dated past what a `Date` can hold (ECMA-262 §21.4.1.1). */
export const timeText = (ms: number | null): string =>
  ms === null || Number.isNaN(new Date(ms).getTime()) ? "unknown" : new Date(ms).toISOString();
