import { permitOf, type Authorization } from "./authorization.ts";
import { isAuthorizationUsed, readTransfer, type TokenLog } from "./eip3009.ts";
import { settlesPermit } from "./permit2.ts";

/** What of a successful transaction is looked at: the token's logs and, for Permit2, the input. */
export type SettlingTransaction = { logs: readonly TokenLog[]; input?: string | undefined };

/**
 * Whether a successful transaction used this authorization. EIP-3009 logs it; Permit2 logs nothing, so there the
 * transaction's input has to hold the permit's own words.
 */
export const usesAuthorization = (transaction: SettlingTransaction, payment: Authorization): boolean =>
  payment.method !== "permit2"
    ? transaction.logs.some((log) => isAuthorizationUsed(log, payment.asset, payment.payer, payment.nonce))
    : transaction.input !== undefined && settlesPermit(transaction.input, permitOf(payment));

/**
 * What the logs moved for this payment, base units: exactly its amount or, under `upto`, more than nothing and no more than
 * that. Null where there is no such transfer from the payer to the payee.
 */
export function movedBy(logs: readonly TokenLog[], payment: Authorization): bigint | null {
  const cap = BigInt(payment.amount);
  const fits = (value: bigint): boolean =>
    payment.facilitator === undefined ? value === cap : value > 0n && value <= cap;
  for (const log of logs) {
    const transfer = readTransfer(log, payment.asset);
    if (transfer?.from === payment.payer && transfer.to === payment.payTo && fits(transfer.value))
      return transfer.value;
  }
  return null;
}

/**
 * The last second in which an authorization may be used: the one before `validBefore` (EIP-3009, "before"), or Permit2's
 * deadline itself (SignatureTransfer: expired when `block.timestamp > deadline`).
 */
export const lastSecondOf = ({ method, validBefore }: Authorization): number =>
  method === "eip3009" ? validBefore - 1 : validBefore;

/** When a voucher ends: never, in unix seconds that every format can carry. */
export const NEVER = 4_294_967_295;
