/** What is known about the buyer's money at the moment an error is reported. */
export type MoneyState =
  /** Nothing was signed that anyone could redeem. */
  | "not-moved"
  /** A signed authorization exists and may still be redeemed until it expires. */
  | "may-move"
  /** The transfer is on chain. */
  | "moved";

const brand: unique symbol = Symbol.for("proof402.error") as never;

/**
 * The one error class of the library: says what happened, whether money moved, and what to do next.
 * `code` is stable and machine-readable (snake_case); texts may change.
 */
export class Proof402Error extends Error {
  override readonly name = "Proof402Error";
  readonly [brand] = true;
  readonly code: string;
  readonly money: MoneyState;
  /** What the caller can do now, as one imperative sentence. */
  readonly next: string;
  /** Facts for machines, never secrets and never raw seller text. */
  readonly details: Readonly<Record<string, unknown>>;

  constructor(code: string, message: string, options: Proof402Error.Options) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.money = options.money ?? "not-moved";
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
    details?: Record<string, unknown>;
    cause?: unknown;
  };
}
