import { toHex } from "../evidence/bytes.ts";
import { canonicalSha256 } from "../evidence/canonical.ts";
import { Proof402Error } from "../errors.ts";
import { requireClient } from "../payment/client-budget.ts";
import type { Refusal } from "../payment/types.ts";
import type { Wallet } from "../payment/wallet.ts";
import type { Assurance } from "../receipts/schema.ts";
import { keyConflict, keysOf, openKey } from "./calls.ts";
import type { BuyerContext } from "./context.ts";
import { isOfQuorum } from "./quorum/keys.ts";
import { createPartsTeller, type PartsTeller } from "./answer-parts.ts";
import type { AnyRequest } from "./request.ts";
import { tell } from "./tell.ts";
import type { BuyOptions, BuyRequest } from "./types.ts";

/** One call's fixed inputs, handed down the flow. */
export type Call = {
  request: BuyRequest;
  options: BuyOptions;
  assurance: Assurance;
  /** Its part of the bound of a call that makes several purchases, USD. */
  most: number | undefined;
  wallet: Wallet;
  /** The idempotency key: the caller's own, that of the open call this one equals, or a new one. */
  key: string;
  /** Its key was drawn at random for this very call: nothing was paid under it before. */
  drawn: boolean;
  /** sha256 of what was asked: an idempotency key names one call and no other. */
  argsDigest: string;
  /** Reports a step with the time since the call began. What the listener throws is dropped. */
  progress: (step: Parameters<NonNullable<BuyOptions["onProgress"]>>[0]["step"], message: string) => void;
  /** Tells the caller the pieces of the answer. */
  parts: PartsTeller;
  /** Aborted once the caller gave up before the payment was sent. */
  signal: AbortSignal;
  /** Ends the call before the payment is sent. Without effect from then on. */
  stop: () => void;
  /** Throws Proof402Error `aborted` once the caller gave up. */
  goOn: () => void;
  /** Ends the wait for a person's answer, after a commit too: the caller gave up, or the buyer is being closed. */
  asking: AbortSignal;
  /** Throws Proof402Error `aborted` once the caller gave up, after a commit too: asked before each new authorization. */
  requireCaller: () => void;
  /** The payment goes out: from here on the exchange runs to its end, even if the caller leaves. */
  commit: () => void;
  committed: () => boolean;
};

/**
 * Checks what a caller gave and finds the call's key, before anything is asked of a seller. Throws Proof402Error
 * `wallet_missing`, `invalid_input`, and what {@link openKey} throws.
 */
export async function openCall(
  ctx: BuyerContext,
  request: BuyRequest,
  options: BuyOptions,
  closing: AbortSignal,
  most?: number,
): Promise<Call> {
  const wallet = requireWallet(ctx);
  const { idempotencyKey: own } = request;
  requireKey(own);
  requireClient(request.client);
  const argsDigest = argsDigestOf(request);
  // The purchases of a quorum go by keys of their own, so its key names no purchase that would conflict.
  if (own !== undefined && (await isOfQuorum(ctx.db, own))) throw keyConflict();
  const { key, drawn } = await openKey(ctx, { own, surface: request.callKey, payer: wallet.address, argsDigest });
  return {
    request,
    options,
    wallet,
    key,
    drawn,
    argsDigest,
    most,
    assurance: request.assurance ?? ctx.config.verification.assurance,
    progress: reporter(options),
    parts: createPartsTeller(options),
    ...createStop(options.signal, closing),
  };
}

/** The wallet that pays. Throws Proof402Error `wallet_missing`. */
export function requireWallet({ wallet }: Pick<BuyerContext, "wallet">): Wallet {
  if (wallet !== null) return wallet;
  throw new Proof402Error("wallet_missing", "No wallet is configured, so nothing can be bought.", {
    next: "Set PROOF402_PRIVATE_KEY, or wallet.privateKeyFile or wallet.keystoreFile in the configuration.",
  });
}

/** Throws Proof402Error `invalid_input` for a caller's key that cannot be one. */
export function requireKey(own: string | undefined): void {
  if (own === undefined || /^[\x21-\x7e]{8,128}$/.test(own)) return;
  throw new Proof402Error(
    "invalid_input",
    "An idempotency key must be 8 to 128 printable ASCII characters without spaces.",
    { next: "Leave it out or give a longer one." },
  );
}

/**
 * All possible keys of a call that could not be opened: money out under one of them is out for it. Null where it names
 * none, and the journal cannot be read for those of the calls that it equals.
 */
export async function namesOf(ctx: BuyerContext, request: BuyRequest): Promise<string[] | null> {
  const { idempotencyKey: own, callKey: surface } = request;
  const named = [own, surface].filter((key) => key !== undefined);
  const payer = ctx.wallet?.address ?? "";
  let argsDigest: string;
  try {
    argsDigest = argsDigestOf(request);
  } catch {
    // What is no JSON equals no call.
    return named;
  }
  return keysOf(ctx.db, { own, surface, payer, argsDigest }).catch(() => (named.length === 0 ? null : named));
}

/** sha256 of all that a call asks, hex. Throws Proof402Error `invalid_input`. */
export function argsDigestOf({ model, input, seller, assurance, maxUsd, quorum, client }: AnyRequest): string {
  const one = { model, input, seller: seller ?? null, assurance: assurance ?? null, maxUsd: maxUsd ?? null };
  const asked = {
    ...one,
    ...(quorum === undefined ? {} : { quorum }),
    // A client takes up no call of another, nor gives it its own.
    ...(client === undefined ? {} : { client: client.name }),
  };
  try {
    return toHex(canonicalSha256(asked));
  } catch {
    throw new Proof402Error("invalid_input", "The input is not plain JSON data.", {
      next: "Give finite numbers, strings, booleans and arrays only.",
    });
  }
}

function reporter({ onProgress }: BuyOptions): Call["progress"] {
  const began = performance.now();
  return (step, message) => {
    if (onProgress !== undefined) tell(onProgress, { step, message, ms: performance.now() - began });
  };
}

function createStop(
  caller: AbortSignal | undefined,
  closing: AbortSignal,
): Pick<Call, "signal" | "asking" | "requireCaller" | "stop" | "goOn" | "commit" | "committed"> {
  const controller = new AbortController();
  let committed = false;
  const goOn = (): void => {
    if (controller.signal.aborted) throw aborted();
  };
  return {
    signal: controller.signal,
    asking: AbortSignal.any([controller.signal, closing, ...(caller === undefined ? [] : [caller])]),
    requireCaller: () => {
      goOn();
      if (caller?.aborted === true) throw aborted();
    },
    stop: () => {
      if (!committed) controller.abort();
    },
    goOn,
    commit: () => {
      goOn();
      committed = true;
    },
    committed: () => committed,
  };
}

/** The caller no longer waits. */
export const aborted = (): Proof402Error =>
  new Proof402Error("aborted", "The caller no longer waits for this call.", {
    next: "Call again if its answer is still wanted.",
  });

/** A refusal as an error: nothing was signed. */
export const refused = ({ code, message, next, ...details }: Refusal): Proof402Error =>
  new Proof402Error(code, message, {
    next:
      next ??
      (code === "over_call_limit"
        ? "Give this call a higher limit, or choose a cheaper seller."
        : "The owner's payment policy forbids this; choose a cheaper seller or ask the owner to change the policy."),
    details,
  });
