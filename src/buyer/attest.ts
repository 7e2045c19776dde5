import { uptime } from "node:os";
import { Proof402Error } from "../errors.ts";
import type { Candidate } from "../market/choose.ts";
import { originOf } from "../market/places.ts";
import type { Seller } from "../market/types.ts";
import {
  evidenceSchema,
  LAYERS,
  nitroEvidence,
  type Assurance,
  type Evidence,
  type Layer,
  type LayerResult,
} from "../receipts/schema.ts";
import { appraiseAttestation } from "../verify/layers/attestation.ts";
import { requiredLayers } from "../verify/verdict.ts";
import * as z from "zod";
import { appraisalPolicyOf, type BuyerContext, type KeptAttestation } from "./context.ts";
import type { Hex } from "../evidence/bytes.ts";

/** 20 bytes: what nitriding takes. */
export const NONCE_BYTES = 20;

export type Attested = {
  keyId: Hex | null;
  evidence: Evidence[];
  simulated: boolean;
  /** The layers that passed. */
  checked: readonly Layer[];
  /** The TLS certificate that connections have to show, SHA-256 of its DER; null where the attestation names none. */
  tlsCertificate: string | null;
};

const NOT_ATTESTED: Attested = { keyId: null, evidence: [], simulated: false, checked: [], tlsCertificate: null };

/**
 * Attest first (docs/architecture.md §4.2): the seller's platform, code, key, model and TLS are appraised before anything
 * is paid or sent. Evidence is cached per seller and used until it is half as old as the policy allows.
 *
 * Throws Proof402Error `attestation_failed` when `assurance` needs what the seller did not show, and `clocks_differ`
 * when a document made for this very call is dated otherwise than this machine's clock: judged by a wrong clock, the
 * answer of an honest seller would fail.
 */
export async function attestSeller(
  ctx: BuyerContext,
  candidate: Candidate,
  assurance: Assurance,
  signal?: AbortSignal,
): Promise<Attested> {
  const { seller } = candidate;
  if (assurance === "none" && seller.assurance === "none") return NOT_ATTESTED;
  const cached = await readCached(ctx, seller);
  const judgedCache = cached === null ? null : await judge(ctx, candidate, cached, assurance);
  if (judgedCache?.ok) return judgedCache.attested;

  const nonce = crypto.getRandomValues(new Uint8Array(NONCE_BYTES));
  const fetched = await ctx.providerOf(seller).attest(seller, nonce, signal);
  if (fetched === null) {
    if (assurance === "none") return NOT_ATTESTED;
    throw attestationFailed(seller, "no_attestation", "it serves neither an attestation nor a signing key");
  }
  await requireSameTime(ctx, seller, fetched.evidence);
  const judged = await judge(ctx, candidate, fetched.evidence, assurance);
  if (!judged.ok) {
    if (assurance === "none") return { ...NOT_ATTESTED, ...fetched, tlsCertificate: judged.tlsCertificate };
    throw attestationFailed(seller, judged.code, judged.message);
  }
  const fetchedAt = ctx.clock().getTime();
  const startedAt = machineStart(ctx);
  ctx.attestations.set(seller.id, { evidence: fetched.evidence, fetchedAt, startedAt });
  await ctx.db
    .insertInto("attestations")
    .values({
      seller_id: seller.id,
      evidence: JSON.stringify(fetched.evidence),
      key_id: fetched.keyId,
      fetched_at: fetchedAt,
      started_at: startedAt,
    })
    .onConflict((conflict) =>
      conflict.column("seller_id").doUpdateSet((eb) => ({
        evidence: eb.ref("excluded.evidence"),
        key_id: eb.ref("excluded.key_id"),
        fetched_at: eb.ref("excluded.fetched_at"),
        started_at: eb.ref("excluded.started_at"),
      })),
    )
    .execute();
  return judged.attested;
}

/** The parts of a buyer that evidence is judged with. */
export type Judging = Pick<BuyerContext, "config" | "session" | "clock">;

/** A fresh document's own time and this machine's differ by no more than the skew that the configuration allows. */
export async function requireSameTime(ctx: Judging, { id }: Seller, evidence: readonly Evidence[]): Promise<void> {
  const { clockSkewSeconds, simulatedRoots } = ctx.config.verification;
  const parsed = evidence.flatMap((one) => nitroEvidence.safeParse(one).data ?? [])[0];
  if (parsed === undefined) return;
  const facts = await ctx.session.nitroFacts(parsed.document, simulatedRoots);
  const now = ctx.clock();
  // Whether it may be believed at all is judged afterwards: its date is read at its own time.
  if (!facts.ok) return;
  const ahead = now.getTime() - facts.payload.timestamp;
  if (Math.abs(ahead) <= clockSkewSeconds * 1000) return;
  const seconds = Math.round(ahead / 1000);
  throw new Proof402Error(
    "clocks_differ",
    `This machine's clock is ${Math.abs(seconds)} s ${seconds > 0 ? "ahead of" : "behind"} that of seller "${id}"; at most ${clockSkewSeconds} s are allowed.`,
    {
      next: "Nothing was signed. Your clock or the seller's is wrong: set this machine's clock, or choose another seller.",
      details: { seconds, allowed: clockSkewSeconds },
    },
  );
}

/** Forgets a seller's cached attestation, so that the next call asks again. */
export async function forgetAttestation(ctx: BuyerContext, sellerId: string): Promise<void> {
  ctx.attestations.delete(sellerId);
  await ctx.db.deleteFrom("attestations").where("seller_id", "=", sellerId).execute();
}

/** When the machine was started, by the clock of this moment, unix ms: it moves where the clock was set, and nowhere else. */
const machineStart = (ctx: BuyerContext): number => Math.round(ctx.clock().getTime() - uptime() * 1000);

/**
 * Evidence that is at most half as old as the policy allows: from memory, else from the database. Its time agreed with
 * this machine's clock at its fetch. If that clock was set since, or the machine restarted, it is fetched again.
 */
async function readCached(ctx: BuyerContext, seller: Seller): Promise<Evidence[] | null> {
  const kept = ctx.attestations.get(seller.id) ?? (await readStored(ctx, seller));
  const age = kept === null ? Infinity : ctx.clock().getTime() - kept.fetchedAt;
  const { maxAttestationAgeSeconds, clockSkewSeconds } = ctx.config.verification;
  if (kept === null || age < 0 || age > (maxAttestationAgeSeconds * 1000) / 2) return null;
  if (kept.startedAt === null || Math.abs(machineStart(ctx) - kept.startedAt) > clockSkewSeconds * 1000) return null;
  ctx.attestations.set(seller.id, kept);
  return kept.evidence;
}

async function readStored(ctx: BuyerContext, seller: Seller): Promise<KeptAttestation | null> {
  const row = await ctx.db.selectFrom("attestations").selectAll().where("seller_id", "=", seller.id).executeTakeFirst();
  if (row === undefined) return null;
  const parsed = z.array(evidenceSchema).safeParse(JSON.parse(row.evidence));
  return parsed.success ? { evidence: parsed.data, fetchedAt: row.fetched_at, startedAt: row.started_at } : null;
}

type Judged =
  | { ok: true; attested: Attested }
  | { ok: false; code: string; message: string; tlsCertificate: Attested["tlsCertificate"] };

/** What was asked for must be shown before anything is paid; where nothing was, all of it counts. */
export async function judge(
  ctx: Judging,
  { seller, model }: { seller: Seller; model: Pick<Candidate["model"], "name"> },
  evidence: Evidence[],
  assurance: Assurance,
): Promise<Judged> {
  const policy = appraisalPolicyOf(ctx.config, assurance === "none" ? "attested" : assurance);
  const result = await appraiseAttestation({
    evidence,
    sellerId: seller.id,
    origin: originOf(seller),
    model: model.name,
    policy,
    evaluateAt: ctx.clock(),
    session: ctx.session,
  });
  const layers: Partial<Record<Layer, LayerResult>> = result.layers;
  const required = requiredLayers(policy, { ...seller.reference, provider: seller.provider });
  const failed = LAYERS.flatMap((name): [Layer, LayerResult][] => {
    const layer = layers[name];
    const wrong = layer?.status === "fail" || (layer?.status !== "pass" && required.includes(name));
    return layer !== undefined && wrong ? [[name, layer]] : [];
  })[0];
  // Without TLS there is no certificate to be shown: the owner's own choice for this origin.
  const tlsCertificate = originOf(seller).startsWith("https:") ? (result.tls?.named ?? null) : null;
  if (failed !== undefined)
    return { ok: false, code: failed[1].code, message: `${failed[0]}: ${failed[1].note}`, tlsCertificate };
  const keyId = result.signingKey?.keyId ?? null;
  const checked = LAYERS.filter((name) => layers[name]?.status === "pass");
  return { ok: true, attested: { keyId, evidence, simulated: result.simulated, checked, tlsCertificate } };
}

const attestationFailed = (seller: Seller, code: string, message: string): Proof402Error =>
  new Proof402Error(
    "attestation_failed",
    `Seller "${seller.id}" did not prove what it is: ${message.replace(/\.$/, "")}.`,
    {
      next: "Nothing was paid and the input did not leave this machine. Choose another seller, or ask for less assurance.",
      details: { seller: seller.id, check: code },
    },
  );
