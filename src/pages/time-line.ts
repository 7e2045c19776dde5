import type { Appraisal, Layer, Receipt, Status } from "../receipts/schema.ts";
import type { Facts } from "../verify/facts.ts";
import { timeText } from "./fact-rows.ts";
import { html, type Html } from "./html.ts";

/** One moment of a purchase: its name, what came to be, and the clock that says when. */
type Moment = { at: string; stage: string; what: string; clock: string };

const [BUYER, SELLER, HARDWARE, SIMULATED, DOCUMENT, CHAIN, FILE] = [
  "the buyer's clock",
  "the seller's clock",
  "the hardware's clock",
  "the clock of simulated hardware",
  "the clock of the document's maker; no known hardware signed it",
  "the chain's clock, as the file tells it",
  "the clock of the file's maker",
];

/** Late evidence that makes a moment, by the layer that judges it. */
const LATE: Readonly<Record<string, { layer: Layer; stage: string; what: string }>> = {
  "settlement.x402": { layer: "settlement", stage: "Settled", what: "the payment's block" },
  "inclusion.merkle": { layer: "inclusion", stage: "Included", what: "the block that anchors the answer" },
  "zk.groth16": { layer: "computation", stage: "Proven", what: "the proof came" },
  "zk.ezkl": { layer: "computation", stage: "Proven", what: "the proof came" },
  "replay.onnx": { layer: "computation", stage: "Re-executed", what: "the model ran again" },
};

/** Most verdicts noted in a file that stand on the line. */
const MAX_NOTED = 20;

/**
 * The times of a purchase in their order. A moment is named for what its evidence shows only if the layers that judge it pass
 * here. The verdicts noted in a file are its maker's word.
 */
export function momentsOf(
  receipt: Receipt,
  appraisal: Pick<Appraisal, "layers" | "simulated">,
  facts: Facts,
): Moment[] {
  const { core, later, appraisals } = receipt;
  const { times, platform } = facts;
  const { layers } = appraisal;
  const late = later.flatMap(({ at, evidence }) => {
    const found = Object.hasOwn(LATE, evidence.kind) ? LATE[evidence.kind] : undefined;
    if (found === undefined) return [];
    const { status } = layers[found.layer];
    const { blockTime } = evidence as { blockTime?: unknown };
    const onChain = typeof blockTime === "number";
    const stage = stageOf(evidence, found.stage, status);
    return [{ at: onChain ? timeText(blockTime * 1000) : at, stage, what: found.what, clock: onChain ? CHAIN : FILE }];
  });
  const moments: Moment[] = [
    ...(platform === null || platform.time === null
      ? []
      : [
          {
            at: timeText(platform.time),
            stage: toldBy("Attested", [layers.platform.status]),
            what: "the attestation was signed",
            clock: clockOf(platform, appraisal),
          },
        ]),
    { at: times.sentAt, stage: "Asked", what: "the request was sent", clock: BUYER },
    ...(times.signedAt === null
      ? []
      : [
          {
            at: times.signedAt,
            // The key layer says whose the signature is, the other two what it covers.
            stage: toldBy(
              "Signed",
              (["key", "request", "response"] as const).map((layer) => layers[layer].status),
            ),
            what: "the answer was signed",
            clock: SELLER,
          },
        ]),
    { at: core.response.receivedAt, stage: "Answered", what: "the answer came", clock: BUYER },
    ...late,
    ...notedOf(appraisals),
  ];
  const place = ({ at }: Moment): number => {
    const ms = Date.parse(at);
    return Number.isNaN(ms) ? Infinity : ms;
  };
  return moments.toSorted((a, b) => (place(a) === place(b) ? 0 : place(a) - place(b)));
}

/** The clock behind an attestation: hardware's only under a root of its maker. The policy may name a simulated one. */
function clockOf(
  { genuine, rootIsAws }: NonNullable<Facts["platform"]>,
  { layers, simulated }: Pick<Appraisal, "layers" | "simulated">,
): string {
  if (genuine && rootIsAws) return HARDWARE;
  if (layers.platform.status !== "pass") return DOCUMENT;
  return simulated ? SIMULATED : HARDWARE;
}

function stageOf(evidence: { kind: string; outcome?: unknown }, stage: string, status: Status): string {
  const named = evidence.outcome === "expired" ? "Ended unused" : stage;
  return named !== stage && status === "skip" ? named : toldBy(named, [status]);
}

/** A moment by the layers that judge it: shown, told by the file alone, or refuted. */
function toldBy(stage: string, statuses: readonly Status[]): string {
  if (statuses.includes("fail")) return `${stage}: told, and refuted`;
  return statuses.every((status) => status === "pass") ? stage : `${stage}: told`;
}

/** The first verdict noted in a file, and each that differs from the one before it. */
function notedOf(appraisals: Receipt["appraisals"]): Moment[] {
  const moved = appraisals.filter(({ verdict }, at) => verdict !== appraisals[at - 1]?.verdict);
  return moved.slice(0, MAX_NOTED).map(({ at, verdict }, index) => ({
    at,
    stage: index === 0 ? "Checked" : "Checked again",
    what: `the file notes "${verdict}"${index === MAX_NOTED - 1 && moved.length > MAX_NOTED ? `, and ${moved.length - MAX_NOTED} more changes` : ""}; not the verdict here`,
    clock: FILE,
  }));
}

/** The moments as a line. */
export const timeLine = (moments: readonly Moment[]): Html =>
  html`<ol class="times">
      ${moments.map(({ at, stage, what, clock }) => html`<li><time>${at}</time> <strong>${stage}</strong> ${what} (${clock})</li>`)}
    </ol>
    <p>Each time is by the clock named beside it. Between two clocks the order shows nothing.</p>`;
