import type { TokenLog } from "../eip3009.ts";
import type { Address, Hex } from "../bytes.ts";

/** The signed part of a payment, for every method: a receipt's `payment` without its hash. */
export type Authorization = {
  scheme: string;
  method: string;
  /** CAIP-2. */
  network: string;
  asset: Address;
  amount: string;
  payer: Address;
  payTo: Address;
  nonce: Hex;
  validAfter: number;
  validBefore: number;
  facilitator?: Address | undefined;
  cumulative?: string;
  previous?: string | undefined;
  channel?: { payerAuthorizer: Address; receiverAuthorizer: Address; withdrawDelay: number; salt: Hex };
  /** This call's share of an authorization for several calls. Not signed on chain; the hash of the terms holds it. */
  share?: { first: boolean; kept: string } | undefined;
};

/** An offer's `extra`, which nothing bounds but its size. */
export type Extra = Readonly<Record<string, unknown>>;

/** The parts of a successful transaction to look at: the token's logs and, for Permit2, the call itself. */
export type SettlingTransaction = {
  logs: readonly TokenLog[];
  to?: Address | undefined;
  input?: Hex | undefined;
};

/** What a receipt shows of a settlement. */
export type ShownSettlement = SettlingTransaction & {
  outcome: "settled" | "expired";
  /** 0x hex. */
  transaction?: string | undefined;
  /** Unix seconds. */
  blockTime: number;
  channel?: { balance: string; totalClaimed: string } | undefined;
};

/** What can be wrong with a payment and with a settlement, as their layers say it. */
export type FaultCode = {
  payment: "voucher_nonce_mismatch" | "voucher_amount_mismatch" | "channel_mismatch" | "facilitator_mismatch";
  settlement:
    | "settlement_time"
    | "not_expired"
    | "transaction_missing"
    | "authorization_not_used"
    | "transfer_mismatch"
    | "token_moved_more"
    | "channel_missing"
    | "voucher_not_claimed";
};
/** Why a payment will move no money any more. */
export type UnsettledCode = "authorization_expired" | "channel_closed";

/** What is wrong with a payment, or with a settlement. */
export type Fault<In extends keyof FaultCode> = { status: "fail"; code: FaultCode[In]; note: string };
/** What a settlement shows: the money moved, or will not move any more, or it shows neither. */
export type Finding =
  | { status: "pass"; note: string }
  | { status: "skip"; code: UnsettledCode; note: string }
  | Fault<"settlement">;

export const fault = <Code extends FaultCode[keyof FaultCode]>(
  code: Code,
  note: string,
): { status: "fail"; code: Code; note: string } => ({ status: "fail", code, note });

/** How a transaction on chain uses up an authorization. */
export type Use = {
  /** A transaction shows the use in no log, only in the call that it is. */
  usedByCall: boolean;
  /** The amount is a ceiling; the seller names the real cost afterwards. */
  metered: boolean;
  /** The amount moved by a transaction under this authorization, base units; null without one. */
  amountIn: (transaction: SettlingTransaction, payment: Authorization) => bigint | null;
  isUsedIn: (transaction: SettlingTransaction, payment: Authorization) => boolean;
  /** The last second in which it may be used. */
  lastSecondOf: (payment: Authorization) => number;
};

/**
 * The pure half of a payment method: how an offer asks for it, how it is signed, and how its settlement looks. A buyer
 * signs by it, a seller looks for its money by it, and a verifier judges by it. Nothing that judges throws.
 */
export type MethodEvidence = Use & {
  /** The scheme of its offers. */
  scheme: string;
  /**
   * The values of x402's `extra.assetTransferMethod` asking for this method; undefined stands for an offer without one.
   */
  transfers: readonly (string | undefined)[];
  /** The `method` that a receipt has for it, beside the scheme. */
  method: string;
  /**
   * Signed in the token's own EIP-712 domain, named in the offer's `extra`; otherwise in the domain of a separate
   * contract.
   */
  inTokenDomain: boolean;
  /** What is signed names its payer. Where it does not, a signature recovers to some payer under any terms. */
  namesPayer: boolean;
  /** Its payee claims it together with others, whenever it likes: it has no end, and no transaction of its own. */
  claimed: boolean;
  /** Completes "... exactly what the offer asked for". */
  does: string;
  /** The EIP-712 hash the payer signs, 0x hex. `token` is the asset's own domain. */
  hashOf: (payment: Authorization, token: { name: string; version: string }) => Hex;
  /** The address whose key signs it. */
  signerOf: (payment: Authorization) => string;
  /** What of its own terms is not the offer's, as a sentence; null if all are. */
  differsFrom: (payment: Authorization, extra: Extra) => string | null;
  /** The one besides the payee with a say in the amount, as an offer names it; null for none. Left out by methods without one. */
  facilitatorOf?: (extra: Extra) => Address | null;
  /** What it says of itself and is not, or null. */
  contradictionIn: (payment: Authorization & { authorizationHash: string }) => Fault<"payment"> | null;
  /** Who besides the payee has a say in it and is not pinned for this seller, or null. */
  unpinnedIn: (payment: Authorization, pins: Pins) => Fault<"payment"> | null;
  /** What a settlement shows. `earliest`: unix seconds in which it may have been made at the earliest. */
  judge: (payment: Authorization, shown: ShownSettlement, earliest: number) => Finding;
};

/** Who besides the payee may have a say in payments to a seller. */
export type Pins = {
  facilitators: readonly string[];
  channel?: { receiverAuthorizer: string; withdrawDelaySeconds: number } | undefined;
};
