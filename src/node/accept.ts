import type { Context } from "hono";
import * as z from "zod";
import type { Authorization } from "../evidence/methods/method.ts";
import { signingHash } from "../evidence/methods/methods.ts";
import { signerOf } from "../evidence/signer.ts";
import type { ChainReader, ChainView } from "./chain-view.ts";
import type { PaidCalls } from "./paid-calls.ts";
import type { Payment } from "./payment.ts";
import type { PaymentGate } from "./payment-gate.ts";
import { identityOf } from "./payment-key.ts";
import type { RateLimit } from "./rate-limit.ts";

/** How payments are judged. */
export type Judges = {
  gate: PaymentGate;
  calls: PaidCalls;
  chain: ChainReader;
  /** Counts a payer's calls over time; null counts none. */
  payerWaits: RateLimit | null;
  confirmations: number;
  waitSeconds: number;
  /** Payments that were made before they were brought here are for this node. */
  ownPayee: boolean;
  sharedPayee: boolean;
};

/** A payment that an answer may be worked out for. */
export type Accepted = {
  payment: Payment;
  /** Where it was made already. */
  seen: Extract<ChainView, { state: "paid" }> | null;
  /** Gives back what was set aside for it, where no answer comes of it. */
  cancel: (status: number) => Promise<unknown>;
};

/** Has a request's payment judged, or asks for one: the refusal is the response. */
export async function accept(
  { gate, calls, chain, confirmations, ownPayee }: Judges,
  c: Context,
  model: string,
): Promise<Accepted | Response> {
  const verification = await gate.verify(c, model).catch(() => null);
  if (verification === null)
    return c.json({ error: "the facilitator gives no usable answer; nothing was charged" }, 502);
  if (verification.kind === "valid") return { ...verification, seen: null };
  const { payment, response } = verification;
  if (!ownPayee || payment === null) return response;
  const authorization = identityOf(payment.payload, payment.terms)?.authorization ?? null;
  if (authorization === null || !isSigned(payment, authorization)) return response;
  const since = Math.floor((await calls.since()) / 1000);
  const view = await chain.look(authorization, { since });
  // What was made before all that is remembered here began may have been answered then.
  const isOurs =
    view?.state === "paid" &&
    view.time >= since &&
    view.depth >= confirmations &&
    view.amount >= BigInt(payment.terms.amount);
  return isOurs ? { payment, seen: view, cancel: () => Promise.resolve() } : response;
}

const signedSchema = z.object({ signature: z.string().regex(/^0x[0-9a-fA-F]{130}$/) });
const domainSchema = z.object({ name: z.string(), version: z.string() });

/** Tells whether the bringer of a payment has its payer's signature, by an account with a key. */
function isSigned({ payload, terms }: Payment, authorization: Authorization): boolean {
  const signed = signedSchema.safeParse(payload.payload);
  const domain = domainSchema.safeParse(terms.extra);
  if (!signed.success || !domain.success) return false;
  const hash = signingHash(authorization, domain.data);
  return signerOf(signed.data.signature.toLowerCase(), hash) === authorization.payer;
}
