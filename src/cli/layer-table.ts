import { colour as pc } from "./colour.ts";
import { LAYERS, type Appraisal, type Status, type Verdict } from "../receipts/schema.ts";

const STATUS_COLOUR: Record<Status, (text: string) => string> = {
  pass: pc.green,
  fail: pc.red,
  pending: pc.yellow,
  reported: pc.yellow,
  skip: pc.dim,
  unsupported: pc.dim,
};

/** The colour of each verdict. */
export const VERDICT_COLOUR: Record<Verdict, (text: string) => string> = {
  verified: pc.green,
  failed: pc.red,
  pending: pc.yellow,
  unverified: pc.yellow,
};

/** Names the command that looks for the evidence of a pending receipt and waits for it. */
export const waitFor = (id: string): string =>
  `The verdict is pending. Look for the missing evidence and wait for it with: proof402 receipts show ${id} --wait 30`;

/** The same where the verdict stands, and only the payment was not seen on chain yet. */
export const lookFor = (id: string): string =>
  `The payment was not seen on chain yet. Look for it and wait for it with: proof402 receipts show ${id} --wait 30`;

/**
 * An appraisal for a terminal: the verdict, its reason if no layer shows it, one line per layer, and the limits of the
 * proof. Plain text where colour is off.
 */
export function layerTable(appraisal: Appraisal, why?: string): string {
  const simulated = appraisal.simulated ? pc.yellow(" (SIMULATED hardware)") : "";
  const lines = [
    `${pc.bold(VERDICT_COLOUR[appraisal.verdict](appraisal.verdict.toUpperCase()))}${why === undefined ? "" : `: ${why}`}  assurance ${appraisal.assurance}${simulated}, wanted ${appraisal.wanted}, judged as of ${appraisal.evaluatedAt}`,
    ...LAYERS.map((layer) => {
      const { status, code, note } = appraisal.layers[layer];
      return `${layer.padEnd(12)} ${STATUS_COLOUR[status](status.padEnd(11))} ${note}${code === "ok" ? "" : pc.dim(` [${code}]`)}`;
    }),
    pc.bold("What this does not prove"),
    ...appraisal.notProven.map((words) => `- ${words}`),
  ];
  return lines.join("\n");
}
