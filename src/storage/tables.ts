import type { Generated } from "kysely";
import type { Address, Hex } from "../evidence/bytes.ts";
import type { METHODS, PaymentMethod } from "../evidence/methods/methods.ts";
import type { ContentsTable } from "./contents-table.ts";
import type { DecisionsTable } from "./decisions.ts";
import type { GuardRequirementsTable, GuardStopsTable, ReceiptClaimsTable } from "./claim-tables.ts";
import type { SharedAuthorizationsTable } from "./shared-authorizations.ts";
import type { ChainHeadsTable, SightingsTable } from "./sightings.ts";

type PaymentEvidence = (typeof METHODS)[PaymentMethod];

/**
 * States of a purchase's money (docs/architecture.md §6.4).
 *
 * reserved: counted against the caps; nothing is signed.
 * signed:   written before the signature is made; from here the authorization may be redeemable.
 * sent:     written before the bytes go on the wire.
 * answered: an answer came back and its receipt is stored.
 * settled:  the transfer was seen on chain. Final.
 * released: the authorization was never made or can no longer be used. Final; counts nothing.
 */
export const PURCHASE_STATES = ["reserved", "signed", "sent", "answered", "settled", "released"] as const;
export type PurchaseState = (typeof PURCHASE_STATES)[number];

export type Tables = {
  meta: { key: string; value: string };
  purchases: PurchasesTable;
  spend: SpendTable;
  receipts: ReceiptsTable;
  contents: ContentsTable;
  log: LogTable;
  jobs: JobsTable;
  attestations: AttestationsTable;
  seller_holds: SellerHoldsTable;
  receipt_claims: ReceiptClaimsTable;
  guard_requirements: GuardRequirementsTable;
  guard_stops: GuardStopsTable;
  call_leases: CallLeasesTable;
  calls: CallsTable;
  channels: ChannelsTable;
  sightings: SightingsTable;
  chain_heads: ChainHeadsTable;
  owner_transactions: OwnerTransactionsTable;
  approvals: ApprovalsTable;
  questions: QuestionsTable;
  shared_authorizations: SharedAuthorizationsTable;
  decisions: DecisionsTable;
};

export type PurchasesTable = {
  /** Random UUID of this attempt. */
  id: string;
  /** The logical call: one key, one payment. Unique together with `attempt`. */
  idempotency_key: string;
  /** 1, and one more for each authorization that took the place of an unserved one. */
  attempt: number;
  /** sha256 hex of what was asked (seller-independent arguments), so a key cannot be reused for another call. */
  args_digest: string;
  state: PurchaseState;
  seller_id: string;
  /** The program it was bought for, if its surface names one: its budget counts it. */
  client: string | null;
  model: string;
  network: string;
  asset: Address;
  /** Base units, decimal string: what the authorization allows. 0 for a later call on another call's. */
  amount: string;
  /** What was really transferred, once known. */
  settled_amount: string | null;
  scheme: PaymentEvidence["scheme"];
  method: PaymentEvidence["method"];
  /** The one that may settle an upto payment. */
  facilitator: Address | null;
  /** The channel a voucher is of, and as JSON its terms and the most it allows to be claimed. */
  channel_id: string | null;
  voucher: string | null;
  payer: Address;
  pay_to: Address;
  /** JSON of a call's share of an authorization for several calls, with the whole amount. */
  share: string | null;
  /** Base units: the call's cost in the seller's words, and its part of the sum moved for all calls. */
  reported: string | null;
  part: string | null;
  /**
   * The payment's. Two kinds of rows have names of their own: a voucher, signed again for another attempt, and a later
   * call on another's authorization, its nonce and the call's salt.
   */
  nonce: Hex | `voucher ${string}` | `${Hex} ${Hex}`;
  /** Unix seconds. */
  valid_after: number;
  valid_before: number;
  authorization_hash: Hex;
  /** The salt in the hash of the terms; null if the purchase's request names the nonce alone. */
  salt: Hex | null;
  /** The payer's signature, 0x hex, once it is on its way. In no exported file while it can be used. */
  signature: string | null;
  /** JSON: what the seller listed, with network and asset. */
  listed_price: string | null;
  /** JSON: the chosen offer as the policy reads it. */
  offer: string;
  /** JSON: the requirement as the seller wrote it, which a payment has to quote unchanged. */
  accepted: string;
  /** JSON: the request to send again byte for byte. */
  request: string;
  receipt_id: string | null;
  /** When its receipt was stored, unix milliseconds. */
  answered_at: number | null;
  transaction: string | null;
  /** Why it was released, or the last error's code. */
  reason: string | null;
  /** Unix milliseconds. */
  created_at: number;
  updated_at: number;
};

/**
 * Running totals behind the spending caps: per asset and bucket of `created_at`, the sum of its purchases. A cap check
 * so reads a bounded number of rows. Written in the transaction that changes the purchase.
 */
export type SpendTable = {
  /** Empty, with `asset`, for the count of purchases over all assets. */
  network: string;
  asset: string;
  /** Bucket width in ms; 0 is all time. */
  span: number;
  /** Unix ms, a multiple of `span`. */
  start: number;
  /** Base units, decimal string: sums of 18-decimal amounts do not fit SQLite's integers. */
  used: string;
};

export type ReceiptsTable = {
  id: string;
  /** JSON for queries: the receipt (core, later, appraisals, log), or what they look for in it where it is packed. */
  json: string;
  /** The receipt in its stored form (`receipts/packed.ts`); null in a row of an earlier program. */
  packed: Uint8Array | null;
  seller_id: string;
  model: string;
  verdict: string;
  created_at: number;
  /** The name of its purchase by `core.payment` (`purchaseNonceOf`). */
  payment_nonce: string;
};

export type LogTable = {
  seq: Generated<number>;
  /** receipt | later | appraisal | import | bodies | prune | claim | job | hold | stop | purchase | share | decision */
  kind: string;
  /** Of a hold the seller's id, of a stop, a purchase or a decision its own; of a share its call's. */
  receipt_id: string;
  /** sha256 hex of the JCS bytes of what was appended. */
  digest: string;
  at: number;
  prev: string;
  hash: string;
};

/** Second-clock work (docs/architecture.md §4.9). */
export type JobsTable = {
  id: Generated<number>;
  kind: string;
  /** Receipt id. */
  subject: string;
  /** JSON: what the job's handler needs besides the receipt. */
  payload: string;
  state: "waiting" | "done";
  /** Unix ms, as the next ones. */
  run_at: number;
  /** The lease of the worker on it, and that worker's process. */
  leased_until: number;
  owner: string;
  /** How often it was taken: the lease's fencing token. */
  attempts: number;
  deadline: number;
  /** Code of the last look's failure; of a job done without evidence why none came. */
  last_error: string | null;
};

export type AttestationsTable = {
  seller_id: string;
  /** JSON evidence: tee.nitro and model.manifest. */
  evidence: string;
  key_id: string;
  fetched_at: number;
  /** When the machine was started, by the clock of the fetch, unix ms; null of documents fetched before this was kept. */
  started_at: number | null;
};

export type SellerHoldsTable = {
  seller_id: string;
  /** The receipt that shows it; empty where money went without an answer. */
  receipt_id: string;
  reason: string;
  at: number;
  /** When the owner let the seller be bought from again, unix ms; null while it is on hold. */
  released_at: number | null;
};

/** Logical calls: what each key names, and whether its caller has had the outcome. Unix ms. */
export type CallsTable = {
  idempotency_key: string;
  payer: string;
  args_digest: string;
  opened_at: number;
  /** Null while it is open: an equal call without a key takes it up. */
  told_at: number | null;
};

/** Logical calls under way, and which process makes them until when (unix ms). */
export type CallLeasesTable = { idempotency_key: string; owner: string; until: number };

/** Payment channels the owner opened. Amounts in base units. */
export type ChannelsTable = {
  id: string;
  seller_id: string;
  network: string;
  asset: Address;
  payer: Address;
  receiver: Address;
  /** JSON: payerAuthorizer, receiverAuthorizer, withdrawDelay, salt. */
  terms: string;
  /** The sum put in less the sum taken back, as last seen on chain; while `opening`, the sum to be put in. */
  deposit: string;
  /** The greatest sum that was seen in it; null where it was first seen after it was taken back. */
  put_in: string | null;
  /** What the seller was granted in all: the base of the next voucher. */
  charged: string;
  /** The sum of the channel that the caps account for, by purchases or without one. Never below `charged`. */
  counted: string;
  /** As the chain last showed it. `opening`: noted, and its deposit not seen yet. */
  state: "opening" | "open" | "closing" | "closed";
  opened_at: number;
  /** The sum a command was to put in, base units, until a command told the owner of it; null from then on. */
  wished: string | null;
};

/** Transactions that the owner's commands signed, written before their bytes leave. */
export type OwnerTransactionsTable = {
  hash: Hex;
  /** The kind of the call, e.g. `deposit`. */
  kind: string;
  /** sha256 hex of what was wished. */
  wish: string;
  /** What it changes, by one name for all wishes about it. Empty where an earlier program noted none. */
  subject: string;
  /** CAIP-2. */
  network: string;
  account: Address;
  nonce: number;
  /** The signed bytes, 0x hex, to be sent again as they are. */
  raw: Hex;
  /** The most it can cost in gas, wei. */
  max_cost: string;
  /** `replaced`: another transaction took its nonce. */
  state: "undecided" | "done" | "reverted" | "replaced";
  gas_used: string | null;
  /** What its gas cost, wei. */
  cost: string | null;
  /** Unix milliseconds. */
  created_at: number;
  decided_at: number | null;
  /** When a command told its owner what became of it. */
  told_at: number | null;
};

/** Payments above the policy's `approveAbove` that wait for the owner's word, or were given it. Times in unix milliseconds. */
export type ApprovalsTable = {
  id: string;
  /** Binds key, attempt, arguments, seller and offer: `ApprovalRequest.digest`. */
  digest: string;
  /** The same without key and attempt, hex: what another call asks in the same words. */
  alike: string;
  idempotency_key: string;
  seller_id: string;
  model: string;
  pay_to: string;
  network: string;
  asset: string;
  /** The most that the call may cost in all, base units. */
  amount: string;
  state: "open" | "approved" | "declined" | "used";
  asked_at: number;
  ends_at: number;
  /** The beginning of what the seller is asked, and the length of all of it in characters; 0 if an earlier version asked. */
  input: string;
  input_length: number;
  /** Said beside the payment's terms: earlier payments of the call, and why a person is asked at any price. Empty for nothing. */
  besides: string;
};

/** A surface's last question at a place of a call. LangGraph's answers name no question. */
export type QuestionsTable = { place: string; question: string; asked_at: number };
