import fc from "fast-check";
import { createReceipt, redactReceipt } from "../../src/receipts/receipt.ts";
import type {
  Appraisal,
  Assurance,
  Evidence,
  Groth16Evidence,
  InclusionEvidence,
  LayerResult,
  Receipt,
  ReplayEvidence,
  SettlementEvidence,
} from "../../src/receipts/schema.ts";
import { inclusionLeafOf } from "../../src/verify/layers/inclusion.ts";
import { MODEL, type Fixture } from "./fixture-receipt.ts";
import { inclusionOf, neighbours, withRelay } from "./inclusion.ts";
import { openProvenMaker } from "./proven-receipt.ts";
import { appraisal as someAppraisal } from "./receipt-core.ts";

/** Kinds that files can tell in more than one way. */
const KINDS = ["settlement.x402", "inclusion.merkle", "zk.groth16"] as const;
type Kind = (typeof KINDS)[number];
type ChainKind = Exclude<Kind, "zk.groth16">;

/** A piece as it is true, as another one that does not contradict itself, and spoilt: two ways of a proof that does not hold. */
const FORMS = ["true", "other", "spoilt"] as const;
type Piece = `${Kind} ${(typeof FORMS)[number]}`;
const isSpoilt = (piece: Piece): boolean =>
  piece.endsWith(" spoilt") || (piece.startsWith("zk.") && piece.endsWith(" other"));
const isTrue = (piece: Piece): boolean => piece.endsWith(" true");

/** The later evidence of a file, in words. */
export type Told = {
  pieces: readonly Piece[];
  /** Kinds with a marker of a dispute. */
  marked: readonly Kind[];
  /** What speaks against the receipt by itself. */
  against: "contradiction" | "re-execution" | "failed by its maker" | null;
  isRedacted: boolean;
};

/** Two receipts of one purchase, and the evidence by its names. */
export type World = { fixture: Fixture; copy: Receipt; pieces: Readonly<Record<Piece, Evidence>> };

export async function makeWorld(): Promise<World> {
  const maker = await openProvenMaker();
  const made = await maker.make({ signed: true });
  await maker.close();
  const core = structuredClone(made.receipt.core);
  core.response.receivedAt = new Date(Date.parse(core.response.receivedAt) + 1).toISOString();
  const [settlement, proof] = made.receipt.later.map(({ evidence }) => evidence) as [
    SettlementEvidence,
    Groth16Evidence,
  ];
  const inclusion = inclusionOf(inclusionLeafOf(made.receipt)!, neighbours(2));
  const word = `0x${"1".repeat(64)}`;
  return {
    fixture: { ...made, policy: withRelay(made.policy), receipt: { ...made.receipt, later: [] } },
    // Another time in a field that nothing signs.
    copy: createReceipt(core),
    pieces: {
      "settlement.x402 true": settlement,
      "settlement.x402 other": { ...settlement, transaction: word },
      "settlement.x402 spoilt": { ...settlement, logs: [] },
      "inclusion.merkle true": inclusion,
      "inclusion.merkle other": { ...inclusion, transaction: word },
      "inclusion.merkle spoilt": { ...inclusion, root: word },
      "zk.groth16 true": proof,
      "zk.groth16 other": { ...proof, signals: ["1", ...proof.signals.slice(1)] },
      "zk.groth16 spoilt": { ...proof, signals: ["2", ...proof.signals.slice(1)] },
    },
  };
}

/** What the purchase's chain shows. */
export const onChain = ({ pieces }: World) => ({
  "settlement.x402": pieces["settlement.x402 true"] as SettlementEvidence,
  "inclusion.merkle": pieces["inclusion.merkle true"] as InclusionEvidence,
});

export const CONTRADICTION: Evidence = { kind: "contradiction", layer: "response", code: "found_since" };

/** A file of a receipt with this later evidence. */
export function fileOf({ fixture, pieces }: World, receipt: Receipt, told: Told): Receipt {
  const otherAnswer: ReplayEvidence = {
    kind: "replay.onnx",
    modelSha256: fixture.policy.sellers["fixture"]!.models[MODEL]!,
    runtime: { name: "onnxruntime-node", version: "1" },
    outputs: [{ name: "other", shape: [1], datatype: "INT64", data: [1] }],
  };
  const later: Evidence[] = [
    ...told.pieces.map((piece) => pieces[piece]),
    ...told.marked.map((of): Evidence => ({ kind: "disputed", of })),
    ...(told.against === "contradiction" ? [CONTRADICTION] : []),
    ...(told.against === "re-execution" ? [otherAnswer] : []),
  ];
  const file: Receipt = {
    ...receipt,
    later: later.map((evidence) => ({ at: receipt.core.response.receivedAt, evidence })),
    appraisals: told.against === "failed by its maker" ? [someAppraisal({ verdict: "failed" })] : [],
  };
  return told.isRedacted ? redactReceipt(file, { request: true, response: true }) : file;
}

/** What is known of one receipt, in the plain model that knows no code of the program. */
export type Known = {
  pieces: readonly Piece[];
  marked: readonly Kind[];
  isContradicted: boolean;
  /** Somebody's re-execution came to another answer. */
  isReplayed: boolean;
  isWhole: boolean;
};
export const NOTHING: Known = { pieces: [], marked: [], isContradicted: false, isReplayed: false, isWhole: false };

const ofKind = (pieces: readonly Piece[], kind: Kind): Piece[] => pieces.filter((piece) => piece.startsWith(kind));
const both = <T>(some: readonly T[], more: readonly T[]): T[] => [...new Set([...some, ...more])];

/** What is known once an imported receipt's file is joined with what was known before. */
export function joined(before: Known, told: Told): Known {
  const pieces = both(before.pieces, told.pieces);
  const isAmbiguous = KINDS.some((kind) => ofKind(told.pieces, kind).length > 1 && !told.marked.includes(kind));
  const isAgainst = told.against === "contradiction" || told.against === "failed by its maker";
  const several = KINDS.filter((kind) => ofKind(pieces, kind).length > 1);
  return {
    pieces,
    marked: both(both(before.marked, told.marked), several),
    isContradicted: before.isContradicted || isAmbiguous || isAgainst,
    isReplayed: before.isReplayed || told.against === "re-execution",
    isWhole: before.isWhole || !told.isRedacted,
  };
}

/** Whether a chain that has confirmed all shows something else than each piece of a receipt that could be true. */
export const differsFromChain = ({ pieces }: Known): boolean =>
  (["settlement.x402", "inclusion.merkle"] as const).some((kind) => {
    const told = ofKind(pieces, kind);
    return !told.every(isSpoilt) && !told.some(isTrue);
  });

type Status = LayerResult["status"];
type Verdict = "verified" | "failed" | "open";
/** A verdict with the layers that files can tell differently. */
export type Said = { verdict: Verdict; settlement: Status; inclusion: Status; computation: Status };
/** What is asked of each verdict, and whether the chain has confirmed the purchase where it is read. */
export type Asked = { assurance: Assurance; reportedSuffices: boolean; isConfirmed: boolean };

export const briefly = ({ verdict, layers }: Appraisal): Said => ({
  verdict: verdict === "verified" || verdict === "failed" ? verdict : "open",
  settlement: layers.settlement.status,
  inclusion: layers.inclusion.status,
  computation: layers.computation.status,
});

/** What has to be said of an imported receipt. `rival`: another one of its purchase, or null. */
export function expectedOf(known: Known, rival: Known | null, asked: Asked, isRead: boolean): Said {
  const layerOf = (kind: ChainKind): Status => {
    const told = ofKind(known.pieces, kind);
    if (told.length > 0 && told.every(isSpoilt)) return "fail";
    if (isRead) return shownOf(kind, told, asked);
    return told.length === 0 || known.marked.includes(kind) ? "pending" : "reported";
  };
  const isHeld = isRead ? isAwaited(known.pieces, asked) : known.marked.includes("inclusion.merkle");
  const isContested = rival !== null && holdsUp(rival, asked);
  return decided(known, asked, layerOf, isHeld || isContested);
}

/** Whether a receipt would be verified by itself, the chain aside. */
export function holdsUp(known: Known, { assurance }: Asked): boolean {
  const asked = { assurance, reportedSuffices: true, isConfirmed: true };
  const { verdict, computation } = expectedOf(known, null, asked, false);
  return verdict !== "failed" && known.isWhole && (assurance !== "proven" || computation === "pass");
}

/** What has to be said of a file about an own purchase, of which this is known. */
export function expectedOfOwn(own: Known, told: Told, asked: Asked, isRead: boolean): Said {
  const known: Known = {
    pieces: both(told.pieces, own.pieces),
    marked: [],
    isContradicted: own.isContradicted || told.against === "contradiction",
    isReplayed: own.isReplayed || told.against === "re-execution",
    // What a file leaves out this buyer holds.
    isWhole: true,
  };
  return decided(
    known,
    asked,
    (kind) => {
      const inFile = ofKind(told.pieces, kind);
      if (isRead && inFile.length > 1 && !told.marked.includes(kind)) return "fail";
      if (isRead) return inFile.length > 0 && inFile.every(isSpoilt) ? "fail" : shownOf(kind, inFile, asked);
      const [one, ...more] = ofKind(known.pieces, kind);
      if (one === undefined) return "pending";
      if (more.length > 0 || isSpoilt(one)) return "fail";
      return own.pieces.includes(one) ? "pass" : "reported";
    },
    isRead && isAwaited(told.pieces, asked),
    "one alone",
  );
}

/** A layer of the chain, where it is read and a piece may be true. */
const shownOf = (kind: ChainKind, told: readonly Piece[], { isConfirmed }: Asked): Status => {
  if (!isConfirmed) return "pending";
  if (told.length === 0) return kind === "settlement.x402" ? "pass" : "pending";
  return told.some(isTrue) ? "pass" : "fail";
};

/** Whether a verdict waits for a chain to confirm an anchoring that is told. */
const isAwaited = (told: readonly Piece[], { isConfirmed }: Asked): boolean =>
  !isConfirmed && ofKind(told, "inclusion.merkle").length > 0;

function decided(
  known: Known,
  { assurance, reportedSuffices }: Asked,
  layerOf: (kind: ChainKind) => Status,
  isHeld: boolean,
  counts: "one alone" | "one that holds" = "one that holds",
): Said {
  const proofs = ofKind(known.pieces, "zk.groth16");
  const computation = (): Status => {
    if (counts === "one alone" && proofs.length > 1) return "fail";
    if (!known.isWhole) return "skip";
    if (known.isReplayed) return "fail";
    if (proofs.length === 0) return "skip";
    return proofs.every(isSpoilt) ? "fail" : "pass";
  };
  const layers = {
    settlement: layerOf("settlement.x402"),
    inclusion: layerOf("inclusion.merkle"),
    computation: computation(),
  };
  const verdict = (): Verdict => {
    if (known.isContradicted || Object.values(layers).includes("fail")) return "failed";
    if (isHeld || !known.isWhole || (assurance === "proven" && layers.computation !== "pass")) return "open";
    return layers.settlement === "pass" || (layers.settlement === "reported" && reportedSuffices) ? "verified" : "open";
  };
  return { verdict: verdict(), ...layers };
}

/** One after another with its weight. */
const among = <T>(...all: readonly [number, fc.Arbitrary<T>][]): fc.Arbitrary<T> =>
  fc.oneof(...all.map(([weight, arbitrary]) => ({ weight, arbitrary })));

const piecesOf = (kind: Kind): fc.Arbitrary<Piece[]> => {
  const all = FORMS.map((form): Piece => `${kind} ${form}`);
  return among(
    [4, fc.constant(all.slice(0, 1))],
    [3, fc.constant([])],
    [2, fc.constant(all.slice(1, 2))],
    [2, fc.subarray(all, { minLength: 1 })],
  );
};

export const anyTold: fc.Arbitrary<Told> = fc
  .record({
    pieces: fc.tuple(...KINDS.map(piecesOf)).map((all) => all.flat()),
    isMarked: among([4, fc.constant(true)], [1, fc.constant(false)]),
    alsoMarked: among([8, fc.constant<Kind[]>([])], [1, fc.subarray([...KINDS])]),
    against: among(
      [12, fc.constant(null)],
      [1, fc.constant("re-execution" as const)],
      [1, fc.constantFrom("contradiction" as const, "re-execution" as const, "failed by its maker" as const)],
    ),
    isRedacted: among([6, fc.constant(false)], [1, fc.constant(true)]),
  })
  .map(({ pieces, isMarked, alsoMarked, ...told }) => {
    const several = KINDS.filter((kind) => isMarked && ofKind(pieces, kind).length > 1);
    return { ...told, pieces, marked: both(several, alsoMarked) };
  });

export const anyAsked: fc.Arbitrary<Asked> = fc.record({
  assurance: fc.constantFrom<Assurance>("attested", "proven"),
  reportedSuffices: among([3, fc.constant(true)], [1, fc.constant(false)]),
  isConfirmed: among([3, fc.constant(true)], [1, fc.constant(false)]),
});

/** What a buyer knows of an own purchase: only what is true, and once in a while a contradiction. */
export const anyOwn: fc.Arbitrary<Known> = fc.record({
  pieces: fc.subarray<Piece>(["settlement.x402 true", "inclusion.merkle true", "zk.groth16 true"]),
  marked: fc.constant([]),
  isContradicted: among([6, fc.constant(false)], [1, fc.constant(true)]),
  isReplayed: among([6, fc.constant(false)], [1, fc.constant(true)]),
  isWhole: fc.constant(true),
});

/**
 * Of either receipt: imports a file, judges one alone, imports the file once more that the store gave out first, or verifies
 * the stored receipt with its chain read again.
 */
export type Step = { does: "import" | "judge" | "import again" | "read"; isCopy: boolean; told: Told };
export const anySteps: fc.Arbitrary<Step[]> = fc
  .array(
    fc.record({
      does: among<Step["does"]>(
        [3, fc.constant("import")],
        [2, fc.constant("judge")],
        [1, fc.constant("import again")],
        [2, fc.constant("read")],
      ),
      isCopy: among([3, fc.constant(false)], [1, fc.constant(true)]),
      told: anyTold,
    }),
    { minLength: 2, maxLength: 4 },
  )
  .map(([first, ...rest]) => {
    if (first === undefined) return [];
    // A receipt that is stored for certain is read.
    const after = rest.map((step) => (step.does === "read" ? { ...step, isCopy: first.isCopy } : step));
    return [{ ...first, does: "import" }, ...after];
  });
