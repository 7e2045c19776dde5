import { fromUtf8, utf8 } from "../../src/evidence/bytes.ts";
import type { EzklEvidence, LayerResult } from "../../src/receipts/schema.ts";
import { appraise } from "../../src/verify/appraise.ts";
import type { AppraisalPolicy, EzklReference } from "../../src/verify/policy.ts";
import type { EzklEngine } from "../../src/verify/types.ts";
import { engineHere, evidenceOf, prove, referenceOf, setUp } from "../support/ezkl.ts";
import { CIRCUIT, fixtureOf, INPUT, receiptWith } from "../support/ezkl-purchase.ts";
import type { Fixture } from "../support/fixture-receipt.ts";

/** A genuine proof, and the purchase that it is of. */
export const files = setUp(CIRCUIT);
export const { proof, outputs } = prove(files, INPUT);
export const fixture = await fixtureOf(INPUT, outputs);

/** What is judged otherwise than the genuine proof of the purchase under the policy that pins it. */
type Case = {
  evidence?: EzklEvidence;
  reference?: EzklReference | null;
  under?: Fixture;
  engine?: EzklEngine | null;
  developmentSetups?: boolean;
};
export const genuine = (): EzklEvidence => evidenceOf(files, proof);
export const policyWith = (
  { policy }: Fixture,
  reference: EzklReference | null,
  developmentSetups = true,
): AppraisalPolicy => {
  const changed = structuredClone({ ...policy, developmentSetups });
  if (reference !== null) changed.sellers["fixture"]!.ezkl = { "eth-risk": reference };
  return changed;
};
export const judge = ({
  evidence = genuine(),
  reference = referenceOf(files),
  under = fixture,
  ...rest
}: Case = {}) => {
  const { engine = engineHere, developmentSetups } = rest;
  return appraise({
    receipt: receiptWith(under, evidence),
    policy: policyWith(under, reference, developmentSetups),
    now: new Date(),
    evaluateAt: under.evaluateAt,
    ...(engine === null ? {} : { ezkl: engine }),
  });
};
export const computation = async (one?: Case): Promise<Pick<LayerResult, "status" | "code">> => {
  const { status, code } = (await judge(one)).layers.computation;
  return { status, code };
};
export const failed = (code: string) => ({ status: "fail", code });
export const skipped = (code: string) => ({ status: "skip", code });
export const unsupported = (code: string) => ({ status: "unsupported", code });

export const PASSED = { status: "pass", code: "development_proof" };
/** An engine that must not be asked. */
export const NOT_ASKED: EzklEngine = () => Promise.reject(new Error("asked"));

type ProofFile = { instances: string[][]; proof: number[]; transcript_type: string; pretty_public_inputs?: unknown };
export const readProof = (): ProofFile => JSON.parse(fromUtf8(proof)) as ProofFile;
export const withProof = (change: Partial<ProofFile>): EzklEvidence =>
  evidenceOf(files, utf8(JSON.stringify({ ...readProof(), ...change })));
