import type { ErrorCode } from "./errors/codes.ts";

export type { ErrorCode };

/** What became of the money of one call, over all its authorizations, as the journal and the chain show it. */
export type MoneyState =
  /** No authorization of the call can be redeemed. */
  | "not-moved"
  /** What was or may have been signed may still be used: an authorization until it expires, an owner's transaction. */
  | "may-move"
  /** A transfer of the call is on chain. */
  | "moved";

const brand: unique symbol = Symbol.for("proof402.error") as never;

/**
 * The one error class of the library: says what happened, the state of the money, and the next step. `code` is stable
 * and machine-readable (snake_case); texts may change.
 *
 * The thrower says nothing of the money: the purchase that the error ends reads it from its journal, in one place.
 */
export class Proof402Error extends Error {
  override readonly name = "Proof402Error";
  readonly [brand] = true;
  readonly code: ErrorCode;
  /** What became of the money of the call that this error ended; undefined outside a purchase. */
  readonly money: MoneyState | undefined;
  /**
   * Names the purchase: a call with the same key takes it up again and pays nothing twice. Undefined where no money can move,
   * unless a person was to be asked about the call.
   */
  readonly idempotencyKey: string | undefined;
  /** What the caller can do now, as one imperative sentence. */
  readonly next: string;
  /** Facts for machines, never secrets and never raw seller text. */
  readonly details: Readonly<Record<string, unknown>>;

  constructor(code: ErrorCode, message: string, options: Proof402Error.Options) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.money = options.money;
    this.idempotencyKey = options.idempotencyKey;
    this.next = options.next;
    this.details = options.details ?? {};
  }

  /** True for errors of this class, also across duplicate installs of the package. */
  static isInstance(value: unknown): value is Proof402Error {
    return typeof value === "object" && value !== null && (value as Record<symbol, unknown>)[brand] === true;
  }
}

export declare namespace Proof402Error {
  type Options = {
    next: string;
    money?: MoneyState;
    idempotencyKey?: string;
    details?: Record<string, unknown>;
    cause?: unknown;
  };
}
