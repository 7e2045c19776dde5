import { fromBase64, toHex } from "../../src/evidence/bytes.ts";
import { canonicalSha256 } from "../../src/evidence/canonical.ts";
import { decodeNitroDocument } from "../../src/evidence/nitro.ts";
import { createSimulatedEnclave, createSimulatedRoot } from "../../src/node/index.ts";
import { redactReceipt } from "../../src/receipts/receipt.ts";
import type { Evidence, NitroEvidence, Receipt } from "../../src/receipts/schema.ts";
import { inclusionLeafOf } from "../../src/verify/layers/inclusion.ts";
import type { AppraisalPolicy } from "../../src/verify/policy.ts";
import { inclusionOf, neighbours, withRelay } from "./inclusion.ts";
import { openProvenMaker } from "./proven-receipt.ts";

/** A receipt of every kind that one seller sold, the policies that know it, and the time to judge at. */
export type Family = {
  members: readonly { receipt: Receipt; policy: AppraisalPolicy }[];
  evaluateAt: Date;
};

const INPUTS = [
  [0.5, -1.25],
  [1.5, 0.75],
] as const;

/** Everything is under one root and one enclave: what is genuine in one receipt is genuine in each. */
export async function openFamily(): Promise<Family> {
  const root = await createSimulatedRoot();
  const under = { root, enclave: await createSimulatedEnclave({ root }) };
  const maker = await openProvenMaker();
  try {
    const made = [
      await maker.make({ under, signed: true }, INPUTS[0]),
      await maker.make({ under }, INPUTS[1]),
      await maker.make({ under, method: "permit2", signed: true }, INPUTS[0]),
      await maker.make({ under, method: "upto", signed: true }, INPUTS[1]),
      await maker.make({ under, method: "voucher", signed: true }, INPUTS[0]),
      await maker.make({ under, format: 1 }, INPUTS[1]),
    ];
    const members = made.flatMap(({ receipt, policy: proven }) => {
      const policy = withRelay(proven);
      const attested: AppraisalPolicy = { ...policy, assurance: "attested" };
      const bare = { ...receipt, later: receipt.later.filter(({ evidence }) => evidence.kind !== "zk.groth16") };
      const leaf = inclusionLeafOf(receipt);
      const at = receipt.core.response.receivedAt;
      const anchored = leaf === null ? [] : [{ at, evidence: inclusionOf(leaf, neighbours(2)) }];
      return [
        { receipt, policy },
        { receipt: bare, policy: attested },
        { receipt: { ...bare, later: [...bare.later, ...anchored] }, policy: attested },
        { receipt: redactReceipt(bare, { request: true }), policy: attested },
      ];
    });
    return { members, evaluateAt: made[0]?.evaluateAt ?? new Date(0) };
  } finally {
    await maker.close();
  }
}

/**
 * Everything about a receipt that a key vouches for: two receipts of one meaning are of the same purchase. What SECURITY.md lists as bound by nothing is left out, and so is what decides no verdict.
 */
export function meaningOf({ core, version }: Receipt): string {
  const { sentAt: _sent, body: _asked, sha256: _shaOfRequest, ...request } = core.request;
  const { receivedAt: _received, body: _answered, sha256: _shaOfResponse, ...response } = core.response;
  const evidence = core.evidence.flatMap((one) => {
    if (isNitro(one)) return [enclaveOf(one)];
    return one.kind === "model.manifest" || one.kind === "signature.tee" ? [one] : [];
  });
  const kinds = evidence.toSorted((a, b) => (a.kind < b.kind ? -1 : 1));
  const { seller, offer, payment, listedPrice = null } = core;
  // The request of format 1 names the payment and binds none of its terms, which every verdict about it says.
  const terms = version === 1 ? { nonce: payment.nonce } : { offer, payment, listedPrice };
  return toHex(canonicalSha256({ version, seller, request, response, terms, kinds }));
}

const isNitro = (one: Evidence): one is NitroEvidence => one.kind === "tee.nitro";

/** What an attestation says of the enclave: any document of it says the same, with a time and a nonce of its own. */
function enclaveOf({ kind, document, publicKey }: NitroEvidence): { kind: string; publicKey: string; pcrs: unknown } {
  const decoded = decodeNitroDocument(fromBase64(document));
  const pcrs = decoded.ok ? [...decoded.document.payload.pcrs].map(([index, digest]) => [index, toHex(digest)]) : [];
  return { kind, publicKey, pcrs };
}
