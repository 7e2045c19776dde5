import type { Selectable } from "kysely";
import type { Address } from "../../evidence/bytes.ts";
import type { Extra } from "../../evidence/methods/method.ts";
import type { Payment } from "../../receipts/schema.ts";
import type { Db } from "../../storage/database.ts";
import type { PurchasesTable } from "../../storage/tables.ts";
import type { TypedData } from "../account.ts";
import type { ChannelTerms, OpenChannel } from "../channel-offers.ts";
import type { AssetPolicy } from "../policy.ts";
import type { Refusal } from "../types.ts";
import type { ChainClient } from "../../chain/client.ts";

/** The common part of every payment. */
export type Authorized = Pick<
  Payment,
  "network" | "asset" | "amount" | "payer" | "payTo" | "nonce" | "validAfter" | "validBefore"
>;
type Hashed = Authorized & Pick<Payment, "authorizationHash" | "salt">;
/** A payment before its hash is made. */
export type Terms = Payment extends infer One ? (One extends Payment ? Omit<One, "authorizationHash"> : never) : never;

/** An offer by a method, and what the owner pinned for its seller. */
export type Asked = {
  asset: AssetPolicy;
  payee: Address;
  /** Base units. */
  amount: bigint;
  extra: Extra;
  facilitators: readonly Address[];
  channelTerms: ChannelTerms | undefined;
  channels: readonly OpenChannel[];
};

/** The journal's columns that only some methods fill. */
export type OwnColumns = Partial<
  Pick<Selectable<PurchasesTable>, "facilitator" | "channel_id" | "voucher" | "nonce" | "share" | "amount">
>;

/** A buyer's half of a payment method: what it refuses, plans, shows to be signed, sends and keeps. */
export type PayerMethod<One extends Payment = Payment> = {
  /** It moves money through Permit2, under an allowance. */
  needsAllowance: boolean;
  /** The owner signs for it in the token's own domain, be it for a deposit. */
  needsDomain: boolean;
  /** Why such an offer is refused by its terms, or null. */
  refuses(asked: Asked): Refusal | null;
  /** Why the wallet cannot pay such an offer now, or null. */
  cannotPay(asked: Asked): Refusal | null;
  /** The payment of an offer; null if its terms name no payment of their own. */
  plan(authorization: Authorized, extra: Extra): Terms | null;
  /** Why a payment may not be reserved, in the transaction that reserves it, or null. */
  refusalIn(tx: Db, payment: One): Promise<Refusal | null>;
  /** How one authorization may serve several calls; null if it serves one. `tokenHeader`: lower case. */
  sharing: { tokenHeader: string } | null;
  /** The payment as EIP-712 typed data. `token` is the asset's domain. */
  typedDataOf(payment: One, token: { name: string; version: string }): TypedData;
  /** The scheme's own part of x402's PaymentPayload. */
  payloadOf(payment: One, signature: string): Record<string, unknown>;
  /** Tells whether its nonce is used or canceled, in the state of exactly that block; a claimed payment has none. */
  isSpent(client: ChainClient, payment: One, blockNumber: bigint): Promise<boolean>;
  columnsOf(payment: One, purchaseId: string): OwnColumns;
  /** The payment of a row of the journal. */
  paymentOf(authorization: Hashed, row: Selectable<PurchasesTable>): One;
};

/** The common part of methods that need only a signature. */
export const plain = {
  sharing: null,
  cannotPay: () => null,
  refusalIn: () => Promise.resolve(null),
  columnsOf: () => ({}),
} as const;
