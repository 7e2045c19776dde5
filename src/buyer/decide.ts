import type * as z from "zod";
import { toHex } from "../evidence/bytes.ts";
import { Proof402Error } from "../errors.ts";
import {
  decisionContentSchema,
  MAX_ACTION_BYTES,
  MAX_RECEIPTS,
  type Decision,
  type DecisionContent,
} from "../receipts/decision-schema.ts";
import { addDecision, findDecision, searchDecisions } from "../receipts/decisions.ts";
import { logHead } from "../receipts/log.ts";
import { judgedDigest } from "../receipts/log-digest.ts";
import { missingBodies } from "../receipts/receipt.ts";
import { makeReport } from "../receipts/report.ts";
import type { Receipt } from "../receipts/schema.ts";
import { requireReceipt } from "../receipts/store.ts";
import { endOfLog } from "../storage/log-chain.ts";
import { immediate } from "../storage/migrations.ts";
import { isChanged } from "./changed.ts";
import type { BuyerContext } from "./context.ts";
import type { DecisionInput, DecisionLog } from "./decision-types.ts";
import { judgeAgain } from "./judge.ts";

/** The decisions of one buyer, in the log of its receipts. */
export function createDecisions(ctx: BuyerContext): DecisionLog {
  return {
    async decide(given) {
      const { ids, asked } = readInput(given);
      for (;;) {
        const end = await endOfLog(ctx.db);
        const before = end?.seq ?? 0;
        const time = Math.max(ctx.clock().getTime(), end?.at ?? 0);
        const receipts: Receipt[] = [];
        for (const id of ids) receipts.push(await requireReceipt(ctx.db, id));
        const early = receipts.find(({ core }) => Date.parse(core.response.receivedAt) > time);
        if (early !== undefined)
          throw invalid(`receipts: ${early.id} came at ${early.core.response.receivedAt}, after this clock's time.`);
        const judged: DecisionContent["receipts"] = [];
        for (const receipt of receipts) {
          const { verdict, assurance, wanted, simulated, policyHash } = await judgeAgain(ctx, receipt, {});
          const whole = judgedDigest(receipt, missingBodies(receipt));
          judged.push({ id: receipt.id, verdict, assurance, wanted, simulated, policyHash, judged: whole });
        }
        // Judging takes a moment and the transaction must not. What changed in that moment is judged again.
        const stored = await immediate(ctx.db, async (tx) =>
          (await isChanged(tx, before, receipts))
            ? null
            : addDecision(tx, { ...asked, receipts: judged, at: new Date(time).toISOString() }),
        );
        if (stored !== null) return stored;
      }
    },

    decision: (id) => findDecision(ctx.db, id),

    report: (request) => makeReport(ctx.db, request, ctx.clock()),

    logHead: () => logHead(ctx.db),

    async decisions({ limit = 50, skip = 0, purpose, from, to } = {}): Promise<Decision[]> {
      return (await searchDecisions(ctx.db, { limit, skip, purpose, since: from, before: to })).decisions;
    },
  };
}

const askedSchema = decisionContentSchema.omit({ receipts: true, at: true });

/** Reads the caller's words once. Throws Proof402Error `decision_invalid` that names the field. */
function readInput({ purpose, subject, receipts, action, outcome, ...by }: DecisionInput): {
  ids: string[];
  asked: z.infer<typeof askedSchema>;
} {
  if (!Array.isArray(receipts) || receipts.length === 0 || receipts.length > MAX_RECEIPTS)
    throw invalid(`receipts: 1 to ${MAX_RECEIPTS} ids are needed.`);
  const ids = receipts.map(String);
  if (new Set(ids).size !== ids.length) throw invalid("receipts: one id stands twice.");
  const { person = null, second = null, program = null } = by;
  const parsed = askedSchema.safeParse({
    type: "proof402/decision",
    version: 1,
    purpose,
    subject,
    action: plainCopy(action),
    outcome,
    by: { program, person, second },
    salt: toHex(crypto.getRandomValues(new Uint8Array(16))),
  });
  if (parsed.success) return { ids, asked: parsed.data };
  const [issue] = parsed.error.issues;
  throw invalid(`${issue?.path.join(".") ?? ""}: ${issue?.message ?? "not as it must be"}.`);
}

const MAX_DEPTH = 16;

/** A copy of plain data, each part read once. Throws Proof402Error `decision_invalid` for what JSON cannot hold exactly. */
function plainCopy(whole: unknown): unknown {
  // Each value has one byte at least.
  let left = MAX_ACTION_BYTES;
  const copy = (value: unknown, depth: number): unknown => {
    left -= 1;
    if (left < 0) throw invalid(`action: is larger than ${MAX_ACTION_BYTES} bytes.`);
    if (value === null || typeof value === "boolean" || typeof value === "string") return value;
    if (typeof value === "number" && Number.isFinite(value)) return value === 0 ? 0 : value;
    if (typeof value !== "object") throw invalid(`action: holds a ${typeof value} that is not plain data.`);
    if (depth === 0) throw invalid(`action: is nested deeper than ${MAX_DEPTH} levels.`);
    if (Array.isArray(value)) {
      const { length } = value;
      if (length > left) throw invalid(`action: is larger than ${MAX_ACTION_BYTES} bytes.`);
      return Array.from({ length }, (_hole, at) => copy(value[at], depth - 1));
    }
    const prototype = Object.getPrototypeOf(value) as object | null;
    if (prototype !== null && Object.getPrototypeOf(prototype) !== null)
      throw invalid("action: holds an object that is not plain data.");
    const members: [string, unknown][] = [];
    for (const key of Object.keys(value)) {
      if (key === "__proto__") throw invalid("action: has a key that is not allowed.");
      const member = (value as Record<string, unknown>)[key];
      if (member !== undefined) members.push([key, copy(member, depth - 1)]);
    }
    return Object.fromEntries(members);
  };
  return copy(whole, MAX_DEPTH);
}

const invalid = (message: string): Proof402Error =>
  new Proof402Error("decision_invalid", `The decision cannot be recorded. ${message}`, {
    next: "Correct that field and record the decision again. Nothing was recorded.",
  });
