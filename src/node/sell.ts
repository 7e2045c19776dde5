import { encodePaymentResponseHeader } from "@x402/core/http";
import type { PaymentRequirements, SettleResponse } from "@x402/core/types";
import type { Context } from "hono";
import { concatBytes, sha256, toHex, utf8, type Bytes } from "../evidence/bytes.ts";
import { canonicalJson } from "../evidence/canonical.ts";
import { lastSecondOf } from "../evidence/settlement.ts";
import { accept, type Accepted, type Judges } from "./accept.ts";
import type { InferRequest } from "./oip.ts";
import type { Tensor } from "../onnx/tensors.ts";
import type { KeptAnswer, PaidCall } from "./paid-calls.ts";
import type { Payment } from "./payment.ts";
import { settleOwn } from "./own-settlement.ts";
import { dueFor, type ServedModel, type SettlementWord } from "./payment-gate.ts";
import { identityOf, type PaymentIdentity } from "./payment-key.ts";
import { tooMany } from "./rate-limit.ts";
import { settle, type Decision } from "./settle.ts";

/** A request that fits the model it is for. */
export type Order = {
  served: ServedModel;
  request: InferRequest;
  /** What is hashed and signed of the request. */
  body: Bytes;
  /** Writes the answer in another form than the Open Inference Protocol's. */
  write?: (outputs: readonly Tensor[]) => string;
};

/** What stands behind the counter. */
export type Counter = Judges & {
  /** Works on an order: gives the answer, or the reason without one. */
  work: (order: Order) => Promise<KeptAnswer | { status: 422; error: string }>;
  /** Counts a payment, base units of its asset. */
  settled: (order: Order, paid: { asset: string; amount: bigint }) => void;
  /** Puts what stands behind an answer where anyone may see it, once and over a restart. Never throws. */
  publish: (order: Order, answer: KeptAnswer) => Promise<void>;
};

/** After that time another process takes over a call left unfinished. */
const ABANDONED_MS = 60_000;
/** Blocks are looked at from that long before a payment was taken, seconds. */
const LOOK_BACK_SECONDS = 900;
/** Of a facilitator's reasons, which may be whole traces; they go into a header. */
const MAX_REASON = 200;

/**
 * Sells answers: one payment is worked for once, for one request, and nothing of an answer leaves before it is paid.
 * The answer stays under its payment, so its payer gets it again, byte for byte.
 */
export function createSeller(counter: Counter): (c: Context, order: Order) => Promise<Response> {
  const inTurn = createTurns();
  return async (c, order) => {
    const header = c.req.header("payment-signature");
    const came = counter.gate.read(header);
    const identity = came === null ? null : identityOf(came.payload, came.terms);
    if (came === null && header !== undefined) return unreadable(c);
    if (came !== null && identity !== null)
      return inTurn(identity.key, () => sell(counter, c, { order, came, identity }));
    const accepted = await accept(counter, c, order.served.model.name);
    return accepted instanceof Response ? accepted : orCanceled(accepted, () => Promise.resolve(notTaken(c)));
  };
}

/** Runs work for the same key one piece after another, even if the one before failed. */
function createTurns(): <T>(key: string, work: () => Promise<T>) => Promise<T> {
  const last = new Map<string, Promise<unknown>>();
  return async (key, work) => {
    const mine = (last.get(key) ?? Promise.resolve()).then(work);
    const ended = mine.catch(() => undefined);
    last.set(key, ended);
    try {
      return await mine;
    } finally {
      if (last.get(key) === ended) last.delete(key);
    }
  };
}

type Brought = { order: Order; came: Payment; identity: PaymentIdentity };

async function sell(counter: Counter, c: Context, brought: Brought): Promise<Response> {
  const { order, came } = brought;
  const digest = digestOf(order, came);
  const known = await knownCall(counter, brought, digest);
  const told = known === null ? null : tell(c, known, digest);
  if (told !== null) {
    // A process that ended between a payment and its answer may not have come to publish.
    if (told.status === 200 && known?.answer != null) await counter.publish(order, known.answer);
    return told;
  }
  const accepted = known === null ? await accept(counter, c, order.served.model.name) : again(came, known);
  if (accepted instanceof Response) return accepted;
  return orCanceled(accepted, () => sellFor(counter, c, { ...brought, accepted, known, digest }));
}

/** Gives back what was set aside for a payment where its call ends in anything but an answer. */
async function orCanceled({ cancel }: Accepted, call: () => Promise<Response>): Promise<Response> {
  let status = 500;
  try {
    const response = await call();
    ({ status } = response);
    return response;
  } finally {
    if (status !== 200) await cancel(status).catch(() => undefined);
  }
}

type Taking = Brought & { accepted: Accepted; known: PaidCall | null; digest: string };

async function sellFor(counter: Counter, c: Context, { known, digest, ...taking }: Taking): Promise<Response> {
  const { accepted, identity: claimed } = taking;
  const { payload, terms } = accepted.payment;
  // What a payment is follows from the terms that it was found to meet: who brings it may have claimed to meet others.
  const identity = identityOf(payload, terms);
  if (identity?.key !== claimed.key) return notTaken(c);
  // Counted once the payment is found good: who names another's address uses up nothing of theirs.
  const isNew = known === null && accepted.seen === null;
  const seconds = isNew ? await counter.payerWaits?.(identity.payer) : null;
  if (seconds != null) return tooManyCalls(identity, terms, seconds);
  if (!(await isMine(counter, { identity, known, digest, terms }))) return busy(c);
  const settling = { ...taking, identity };
  const answer = known?.answer ?? (await workOnce(counter, settling));
  if ("error" in answer) return c.json({ error: answer.error }, answer.status);
  const decision = await decide(counter, c, { ...settling, known });
  return deliver(counter, c, { ...settling, answer, decision });
}

/** Takes a payment for this call. False where another one has it. */
async function isMine(
  { calls }: Counter,
  call: Pick<Taking, "identity" | "known" | "digest"> & { terms: PaymentRequirements },
): Promise<boolean> {
  const { identity, known, digest, terms } = call;
  const { key } = identity;
  if (known !== null) return known.answer !== null || (await calls.retake(key, known.at));
  // What an earlier call left of a voucher that was not settled. Its channel is set aside for this one.
  if (identity.authorization === null) await calls.release(key);
  return calls.take(key, { request: digest, terms: JSON.stringify(terms) });
}

/** The payment was not handed on to be settled, and may be brought again while it is valid. */
function tooManyCalls({ authorization }: PaymentIdentity, { network }: PaymentRequirements, seconds: number): Response {
  const refused = { success: false, errorReason: "rate_limited", transaction: "", network };
  const again = Date.now() / 1000 + seconds;
  const next =
    authorization === null || again < lastSecondOf(authorization)
      ? "bring the same payment again after the time in Retry-After"
      : "this payment will have run out by the time in Retry-After, bring a new one then";
  return tooMany(`this payer has asked for too much; nothing was charged, ${next}`, seconds, receiptHeader(refused));
}

const notTaken = (c: Context): Response =>
  c.json({ error: "the payment is of a form that is not taken here; nothing was charged" }, 400);

/** x402 v2 over HTTP answers a malformed payment with 400. The paywall would print it, and ask for a payment as if there were none. */
const unreadable = (c: Context): Response =>
  c.json({ error: "the PAYMENT-SIGNATURE header is no payment of x402 version 2; nothing was charged" }, 400);

/** Model, request bytes and everything that the payer signed. */
const digestOf = ({ served, body }: Order, { payload }: Payment): string =>
  toHex(
    sha256(
      concatBytes(
        sha256(utf8(served.model.name)),
        sha256(body),
        sha256(utf8(new TextDecoder().decode(canonicalJson(payload.payload)).toLowerCase())),
      ),
    ),
  );

/**
 * What a payment was taken for. A voucher that was not settled is judged again: its channel may have moved on. So is
 * one with another request: its payer has lost count, and the 402 answer names the channel's present sum. A voucher
 * charged by a process that died before noting it counts as paid.
 */
async function knownCall(
  { calls, gate }: Counter,
  { came, identity: { key, authorization } }: Brought,
  digest: string,
): Promise<PaidCall | null> {
  const known = await calls.find(key);
  if (known === null || authorization !== null) return known;
  if (known.request !== digest) return null;
  return known.state === "paid" || (known.state === "answered" && (await gate.isGranted(came))) ? known : null;
}

/** The immediate response to a payment brought before; null while its answer is unmade or unpaid. */
function tell(c: Context, known: PaidCall, digest: string): Response | null {
  if (known.request !== digest) {
    const { network } = JSON.parse(known.terms) as PaymentRequirements;
    const refused = { success: false, errorReason: "payment_of_another_request", transaction: "", network };
    const error = "this payment was taken for another request; nothing was charged for this one";
    return c.json({ error }, 402, receiptHeader(refused));
  }
  if (known.state === "paid" && known.answer !== null) return answered(known.answer);
  if (known.state === "paid")
    return c.json({ error: "this payment was answered, too long ago for the answer to be kept" }, 410);
  return known.state === "working" && Date.now() - known.at < ABANDONED_MS ? busy(c) : null;
}

const answered = ({ headers, body }: KeptAnswer): Response => new Response(body, { status: 200, headers });

const busy = (c: Context): Response =>
  c.json({ error: "this payment is being worked for; ask again with the same one" }, 503, { "retry-after": "1" });

/** A payment that was found good before, at the terms it was taken at. */
const again = ({ payload }: Payment, { terms }: PaidCall): Accepted => ({
  payment: { payload, terms: JSON.parse(terms) as PaymentRequirements },
  seen: null,
  cancel: () => Promise.resolve(),
});

/** Makes the answer and keeps it before it is paid. Without an answer the payment is free again. */
async function workOnce(
  { calls, work }: Counter,
  { order, identity }: Brought,
): Promise<KeptAnswer | { status: 422; error: string }> {
  const answer = await work(order).catch(() => ({
    status: 422 as const,
    error: `model "${order.served.model.name}" cannot compute an answer to this input; nothing was charged`,
  }));
  if ("error" in answer) await calls.release(identity.key);
  else await calls.keep(identity.key, "answered", answer);
  return answer;
}

type Settling = Brought & { accepted: Accepted };

async function decide(
  { gate, chain, calls, confirmations, waitSeconds, sharedPayee }: Counter,
  c: Context,
  { order, identity, accepted, known }: Settling & { known: PaidCall | null },
): Promise<Decision> {
  const { payment, seen } = accepted;
  if (seen !== null) return { state: "paid", seen, word: null };
  const due = dueFor(payment.terms, order.request.rows, order.served.rows);
  const { authorization } = identity;
  const since = Math.floor((known?.at ?? Date.now()) / 1000) - LOOK_BACK_SECONDS;
  const look =
    authorization === null || !(await chain.available())
      ? null
      : (hint: string | undefined) => chain.look(authorization, { since, hint });
  const ask = (): Promise<SettlementWord> => gate.settle(c, payment, due);
  const wanted = { due: BigInt(due), confirmations, waitSeconds };
  return sharedPayee && look !== null
    ? settleOwn(ask, look, calls.asksOf(identity.key), { ...wanted, fresh: known === null })
    : settle(ask, look, wanted);
}

/** Hands out the paid answer, and only then publishes its evidence. */
async function deliver(
  { calls, publish, settled }: Counter,
  c: Context,
  { order, identity, accepted, answer, decision }: Settling & { answer: KeptAnswer; decision: Decision },
): Promise<Response> {
  const { terms } = accepted.payment;
  const { network, asset } = terms;
  if (decision.state === "paid") {
    const { word, seen } = decision;
    const payer = identity.authorization?.payer;
    const shown = {
      success: true,
      network,
      transaction: seen?.transaction ?? "",
      ...(payer === undefined ? {} : { payer }),
    };
    const headers = {
      ...answer.headers,
      "cache-control": "private, no-store",
      ...receiptHeader(word?.result ?? shown),
    };
    const paid = { headers, body: answer.body };
    // It is paid for: a database that fails now must not keep it back.
    await calls.keep(identity.key, "paid", paid).catch(() => undefined);
    const amount = seen?.amount ?? BigInt(dueFor(terms, order.request.rows, order.served.rows));
    settled(order, { asset: asset.toLowerCase(), amount });
    await publish(order, paid);
    return answered(paid);
  }
  if (identity.authorization === null) await calls.release(identity.key);
  if (decision.state === "open") {
    const pending = { success: false, errorReason: "settlement_pending", transaction: "", network };
    const error =
      "it is not known yet whether the payment was made; ask again with the same one, which cannot pay twice";
    return c.json({ error }, 503, { "retry-after": "2", ...receiptHeader(pending) });
  }
  if (decision.state === "elsewhere") {
    const { transaction } = decision.seen;
    const made = { success: false, errorReason: "payment_made_elsewhere", transaction, network };
    const error =
      "the payment was made, and not at this seller's order: it may have been for another service of its payee; ask its operator, with the transaction. The answer is kept for it";
    return c.json({ error }, 402, receiptHeader(made));
  }
  const { result } = decision.word;
  const errorReason = (result.errorReason ?? "settlement_failed").slice(0, MAX_REASON);
  const { errorMessage: _long, ...short } = result;
  const error = `the payment could not be settled (${errorReason}); the answer is kept for it`;
  return c.json({ error }, 402, receiptHeader({ ...short, errorReason }));
}

const receiptHeader = (result: SettleResponse): Record<string, string> => ({
  "payment-response": encodePaymentResponseHeader(result),
});
