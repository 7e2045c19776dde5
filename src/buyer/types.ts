import type { Address } from "../evidence/bytes.ts";
import type { MoneyState, Proof402Error } from "../errors.ts";
import type { AuditResult } from "../receipts/audit-codes.ts";
import type { CallCost, CallCosts } from "./call-cost.ts";
import type { DecisionLog } from "./decision-types.ts";
import type { Appraisal, Assurance, Receipt, Verdict } from "../receipts/schema.ts";
import type { AnswerPart, AnswerReading } from "../evidence/exchange/format.ts";
import type { ListedModel, Listing } from "../market/types.ts";
import type { PlacedToken } from "../chain/money-text.ts";
import type { ClientBudget, ClientSpending } from "../payment/client-budget.ts";
import type { AssetSpending } from "../payment/types.ts";
import type { ReconcileSummary } from "../payment/reconcile.ts";
import type { Actions, Claim, ClaimedAction } from "./action-types.ts";
import type { Dissent, QuorumTerms } from "./quorum/terms.ts";
import type { PurchaseState } from "../storage/tables.ts";
import type { OwnersWord } from "./owners-word.ts";

/** One model on offer, as an agent sees it. */
export type ModelView = ListedModel & {
  /** The content of a purchase's `input`: each value's name and its form in a few words. */
  input: Record<string, string>;
  /** The most evidence this seller is configured to give. */
  assurance: Assurance;
  simulated: boolean;
  seller: { id: string; state: "ready" | "on_hold"; reason: string | null };
  /** Price in USD where the asset is declared stable. */
  priceUsd: string | null;
  /** The token of the price. Null if the payment policy does not know it. */
  token: PlacedToken | null;
};

/** The sellers' lists: models on offer, models this version cannot buy with the reason, and silent sellers. */
export type ModelsOnOffer = { models: ModelView[]; unsupported: Listing["unsupported"]; unreachable: string[] };

/** What to buy, and the bounds of this one call. */
export type BuyRequest = BuyBounds & {
  model: string;
  /** What the model takes, by name (`ModelView.input`): a tensor is a (nested) array of values. */
  input: Record<string, unknown>;
};

/** The bounds of one call. */
type BuyBounds = {
  /** Seller id; chosen by assurance and price when absent. */
  seller?: string | undefined;
  assurance?: Assurance | undefined;
  /** Upper bound for this call in USD, on top of the policy's caps. Decimal string or number. */
  maxUsd?: number | undefined;
  /**
   * `answer` (default) returns at once; `verified` waits for the background checks, until the verdict is final or their
   * time is over.
   */
  wait?: "answer" | "verified" | undefined;
  /**
   * One key, one payment: a retry with the same key and arguments returns the stored result. Without it, a call equal
   * to an open one of the same wallet takes that one up, and any other is a new call.
   */
  idempotencyKey?: string | undefined;
  /**
   * Names the call on its surface (a thread and tool-call id, say). It is the key of a call that has none of its own and
   * takes up no open one.
   */
  callKey?: string | undefined;
  /** The program that it is for, with that program's own budget. A key of one client's call is no other client's. */
  client?: ClientBudget | undefined;
};

/** A question to a person about one payment. */
export type ApprovalRequest = {
  /** What the person is asked, in one sentence. */
  message: string;
  /** Binds the approval to one authorization: sha256 over key, attempt, seller, offer and arguments. */
  digest: string;
  /** The call that waits for the answer: it is made again under this key. */
  idempotencyKey: string;
  /** What became of earlier payments of the call. */
  money: MoneyState;
  sellerId: string;
  model: string;
  payTo: string;
  network: string;
  asset: string;
  /** What the call may cost in all once this is approved, base units. */
  amount: string;
};
/**
 * The person's answer. `ask_later` where it cannot be had within this call, which then ends with the Proof402Error
 * `approval_pending`; `pendingApproval` reads what is to be asked, and the call is made again once they have answered. `leave`
 * if no person can be asked after all: the question waits for the owner, and the call ends with `approval_required`.
 */
export type ApprovalDecision = "approved" | "declined" | "cancelled" | "ask_later" | "leave";

/** The bounds of one call, and how it reports, is stopped, and asks. */
export type BuyOptions = BuyBounds & {
  /** Told of the cost before a person is asked and anything is signed. Throws to refuse: nothing is signed then. */
  admit?: ((cost: CallCost) => void) | undefined;
  signal?: AbortSignal | undefined;
  /** Milliseconds since the call began, per step reached; `landed` for each piece of evidence that is waited for. */
  onProgress?:
    | ((step: {
        step: "chosen" | "attested" | "quoted" | "reserved" | "paid" | "answered" | "checked" | "landed";
        message: string;
        ms: number;
      }) => void)
    | undefined;
  /**
   * Told of each piece of the answer as it comes, in their order, of a stored answer at once. No piece is judged: act on the
   * call's result alone. `restart` says that the pieces so far are of another answer than the result's.
   */
  onAnswerPart?: ((part: AnswerPart & { restart?: true; unverified: true }) => void) | undefined;
  /** Buys from sellers of chats only. */
  chat?: boolean | undefined;
  /** Asked before anything is signed, when the policy wants a person's word. `owner` has it answered elsewhere. */
  approve?: ((request: ApprovalRequest, owner: OwnersWord) => Promise<ApprovalDecision>) | undefined;
};

/**
 * The arguments of `buy`: a model, its input and options; or a request kept as one object, as in a queue, and options.
 */
export type BuyArguments =
  | [model: string, input: BuyRequest["input"], options?: BuyOptions | undefined]
  | [request: BuyRequest, options?: BuyOptions | undefined];

/**
 * The answer with its receipt. `readable` is false where the seller answered in a form that this version does not know:
 * `answer` is then the bytes as they came, which were paid for, and nothing can be concluded from them.
 */
export type BuyResult = AnswerReading & {
  /** The newest appraisal's: act on the answer only if it is `verified`. */
  verdict: Verdict;
  receipt: Receipt;
  /** The newest appraisal. */
  appraisal: Appraisal;
  /** False where the payment was made by an earlier call, whose answer this is. */
  paidNow: boolean;
  /** False where the database could not take the receipt: the one in this result is then the only copy. */
  stored: boolean;
  /** Returns this result again. */
  idempotencyKey: string;
};

/** Buys from several sellers, and compares their answers. The call's bounds are of all purchases together. */
export type ByQuorum = { quorum: QuorumTerms };

/** The outcome of a purchase from several sellers: one answer, or both sides. */
export type QuorumResult = {
  /** The worst of the agreeing receipts'. `failed` if too few agree. Act on the answer only if it is `verified`. */
  verdict: Verdict;
  /** Null if enough agree. */
  code: "quorum_disagrees" | null;
  /** The answer of the first agreeing seller by id. Null if too few agree: no side is chosen. */
  answer: Record<string, unknown> | null;
  /** The least of the agreeing receipts'; `none` if too few agree. */
  assurance: Assurance;
  /** Whether any of the agreeing receipts rests on simulated hardware. */
  simulated: boolean;
  /** The results that agree, every two of them, by their sellers' ids. Empty if too few agree. */
  agreeing: BuyResult[];
  dissenting: { result: BuyResult; why: Dissent }[];
  /** Sellers without an answer, with the error of each. Its `money` is of that purchase alone. */
  unanswered: { sellerId: string; error: Proof402Error }[];
  /** All receipts, agreeing or not. */
  receipts: Receipt[];
  terms: QuorumTerms;
  /** Gives this result again, and pays nothing twice. */
  idempotencyKey: string;
};

/** The codes of warnings, each with what it means. */
export const WARNINGS = {
  nonces_of_database:
    "The account signs the same data differently each time, so payment nonces come from the database.",
  second_database: "The wallet is used with another database, which counts its own spending.",
} as const;

/** What the owner should know about wallet and database. It stops nothing. */
export type Warning = { code: keyof typeof WARNINGS; message: string };

/** Limits, what is spent and reserved, and the newest purchases. */
export type Spending = {
  /** The wallet's address; null where no wallet is configured. */
  payer: Address | null;
  assets: AssetSpending[];
  callsLastHour: number;
  callsPerHour: number;
  /** The budget of the client that asks, base units of each token that it may pay in. Null of one without a budget. */
  client: ClientSpending | null;
  /** All purchases of the database, and the newest that `recent` leaves out. */
  purchases: number;
  skipped: number;
  recent: {
    idempotencyKey: string;
    at: string;
    sellerId: string;
    model: string;
    network: string;
    asset: string;
    /** Null for a token that is no longer configured. */
    symbol: string | null;
    decimals: number;
    usdStable: boolean;
    /** Base units. */
    amount: string;
    /**
     * Of a call on a shared authorization: its cost in the seller's words, and its part of the moved amount, base units.
     * While it is not settled the first call has the whole amount, and the others 0.
     */
    shared: { told: string | null; part: string | null } | null;
    state: PurchaseState;
    /** Why it was released, or what is odd about its settlement: a code. */
    reason: string | null;
    receiptId: string | null;
    verdict: Verdict | null;
  }[];
  warnings: readonly Warning[];
};

/** A configured seller. `hold` says why nothing is bought from it now, and by which receipt where there is one. */
export type SellerView = {
  id: string;
  /** Null of a seller whose places a registry names. */
  origin: string | null;
  assurance: Assurance;
  /** Shown by a receipt, or by the key of a call that the seller owes an answer for. */
  hold: { reason: string; receiptId: string | null; callKey: string | null; since: string } | null;
};

/** The library's one object: buys, keeps receipts, verifies. Safe to share between surfaces of one process. */
export interface Buyer extends DecisionLog, CallCosts {
  /** The tokens of the payment policy: amounts of them are told by name. */
  readonly tokens: readonly PlacedToken[];
  /** Found as it was opened. `spending` shows them, too. */
  readonly warnings: readonly Warning[];
  /** Sellers that are slow or down are not waited for. */
  listModels(options?: { signal?: AbortSignal; refresh?: boolean }): Promise<ModelsOnOffer>;
  /**
   * Buys one inference of a model and returns its answer with the receipt. Throws Proof402Error; `error.money` says
   * whether money moved. With `quorum` it buys from several sellers, gives one answer, and keeps both sides where they differ.
   */
  buy(request: BuyRequest & ByQuorum, options?: BuyOptions): Promise<QuorumResult>;
  buy(model: string, input: BuyRequest["input"], options: BuyOptions & ByQuorum): Promise<QuorumResult>;
  buy(...given: BuyArguments): Promise<BuyResult>;
  /**
   * Waits up to `waitSeconds` for the verdict to leave `pending`, and with `settled` also for the payment to be seen on chain.
   * Throws `receipt_not_found`.
   */
  getReceipt(
    id: string,
    options?: { waitSeconds?: number; settled?: boolean | undefined; signal?: AbortSignal | undefined },
  ): Promise<Receipt>;
  listReceipts(options?: { limit?: number }): Promise<Receipt[]>;
  /** Appraises again under this buyer's policy, offline; stores nothing. `at` defaults to the purchase time. */
  verify(receipt: Receipt, options?: { at?: Date | undefined; assurance?: Assurance | undefined }): Promise<Appraisal>;
  /**
   * The input in a receipt's request bytes, in the form that `buy` takes it in. Throws Proof402Error `body_redacted` or
   * `malformed_request`.
   */
  inputOf(receipt: Receipt): Record<string, unknown>;
  /**
   * The answer in a receipt's response bytes, each value exact. Throws Proof402Error `body_redacted` or
   * `answer_unreadable`.
   */
  answerOf(receipt: Receipt): Record<string, unknown>;
  /** Purchases are shown newest first: `limit` (20, at most 1,000) after the `skip` newest. */
  spending(options?: {
    limit?: number | undefined;
    skip?: number | undefined;
    client?: ClientBudget | undefined;
  }): Promise<Spending>;
  /** Looks up every open authorization on chain and settles or releases it; says what became of them. */
  reconcile(): Promise<ReconcileSummary>;
  /** Walks the hash-chained log (docs/architecture.md §5). */
  audit(): Promise<AuditResult>;
  /**
   * Stores a receipt made elsewhere; it is appraised under this buyer's policy, not its maker's. A newer file of a
   * stored one completes it, unless it is of an own purchase (docs/verify.md). Throws Proof402Error `purchase_known`
   * where the purchase is this buyer's own and this is not its stored receipt, `receipt_full`, and the codes of `parseReceipt`.
   */
  importReceipt(receipt: Receipt): Promise<Receipt>;
  /**
   * True exactly once per purchase and purpose, durably and across processes: lets one purchase justify one action, by
   * whichever receipt of it. With `action` its arguments are kept, the claim is `invoking` and `endClaim` has to follow.
   * Throws Proof402Error `receipt_not_found`, `guard_stopped`, and `receipt_imported` for an action on a receipt made elsewhere.
   */
  claimReceipt(id: string, purpose: string, action?: ClaimedAction): Promise<boolean>;
  /** How the action of a claim that this buyer made ended. The claim stays used. */
  endClaim(id: string, purpose: string, ended: { state: "done" | "undecided"; outcome: string }): Promise<void>;
  /** The actions of guards. */
  readonly actions: Actions;
  /** The claims on a receipt's purchase: each action, its arguments and its end. Throws `receipt_not_found`. */
  claims(id: string): Promise<Claim[]>;
  /** Every configured seller, those on hold with the reason. */
  sellers(): Promise<SellerView[]>;
  /**
   * Lets a seller on hold be bought from again, for the owner alone to decide. Throws Proof402Error
   * `seller_not_on_hold`.
   */
  releaseSeller(id: string): Promise<void>;
  /**
   * Keeps that a person is now shown this question at a place, such as the first question of a tool call; `wasAsked` tells
   * it later, in each process. So an answer that names no question counts for the one that the person saw.
   */
  keepQuestion(place: string, request: ApprovalRequest): Promise<void>;
  /** Whether the question shown last at that place was this one, at this price. */
  wasAsked(place: string, request: ApprovalRequest): Promise<boolean>;
  /** Told after every stored change of a receipt. Returns the unsubscribe function. */
  onReceipt(listener: (receipt: Receipt) => void): () => void;
  /** Takes no more calls, and resolves once the last exchange has come to its end. `await using` calls it. */
  close(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}
