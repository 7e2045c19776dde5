import { colour as pc } from "./colour.ts";
import type { Facts } from "../verify/facts.ts";

/** The facts of a receipt for a terminal. Nothing in it is a verdict. */
export function factList({ platform, key, tls, hashes, times, terms, agreement }: Facts): string {
  // A document may be dated past what a `Date` can hold (ECMA-262 §21.4.1.1).
  const time = (ms: number | null): string =>
    ms === null || Number.isNaN(new Date(ms).getTime()) ? "unknown" : new Date(ms).toISOString();
  const attested =
    platform === null
      ? ["root         no attestation"]
      : [
          `root         ${platform.root ?? "unreadable"} ${platform.rootIsAws ? "(AWS Nitro)" : "(not AWS's: made on some machine)"}`,
          `document     ${platform.genuine ? "chain and signature hold up to that root" : `does not hold: ${platform.problem ?? ""}`}`,
          `attested at  ${time(platform.time)}, certificates valid ${time(platform.validFrom)} to ${time(platform.validUntil)}`,
          `nonce        ${platform.answersNonce ? "answered" : "NOT answered"}`,
          ...Object.entries(platform.measurements).map(([index, digest]) => `PCR${index.padEnd(9)} ${digest}`),
        ];
  const signing =
    key === null
      ? []
      : [
          `key          ${key.id} (${key.bound ? "bound by the document" : "NOT bound by the document"}; ${key.signedExchange ? "signed these bytes" : "did NOT sign these bytes"})`,
        ];
  const part = (name: "request" | "response"): string =>
    `${name.padEnd(12)} keccak256 ${hashes[name].keccak256}${hashes[name].sha256 === null ? " (bytes left out)" : `, sha256 ${hashes[name].sha256}`}`;
  return [
    pc.bold("Facts: these hold for this file under any policy"),
    ...attested,
    ...signing,
    `TLS          the document names ${tls.named ?? "no certificate"}; the buyer says it saw ${tls.seen ?? "none"}`,
    part("request"),
    part("response"),
    `times        sent ${times.sentAt}, signed ${times.signedAt ?? "never"}, received ${times.receivedAt}`,
    `terms        as the file tells them: ${terms.amount} base units of ${terms.asset} on ${terms.network} (${terms.scheme}), from ${terms.payer} to ${terms.payTo}`,
    ...(agreement === null ? [] : [`agreed       ${agreedText(agreement)}`]),
  ].join("\n");
}

function agreedText({ signer, byPayer }: NonNullable<Facts["agreement"]>): string {
  if (byPayer === null) return "the signature shown names no payer, and nothing else that is signed here names one";
  return byPayer
    ? `the payer's key ${signer ?? ""} signed exactly these terms`
    : "the signature shown is NOT the payer's of these terms";
}
