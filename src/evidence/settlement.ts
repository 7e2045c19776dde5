import { permitOf, type Authorization } from "./authorization.ts";
import { toHex0x } from "./bytes.ts";
import {
  addressWord,
  AUTHORIZATION_USED_TOPIC,
  chainIdOf,
  isAuthorizationUsed,
  readTransfer,
  type TokenLog,
} from "./eip3009.ts";
import { settledByCall } from "./permit2.ts";

/** What of a successful transaction is looked at: the token's logs and, for Permit2, the call that it is. */
export type SettlingTransaction = {
  logs: readonly TokenLog[];
  to?: string | undefined;
  input?: string | undefined;
};

/**
 * Whether a successful transaction used this authorization. EIP-3009 logs it; Permit2 logs nothing, so there the
 * transaction itself has to be the call that settles the permit.
 */
export const usesAuthorization = (transaction: SettlingTransaction, payment: Authorization): boolean =>
  payment.method !== "permit2"
    ? transaction.logs.some((log) => isAuthorizationUsed(log, payment.asset, payment.payer, payment.nonce))
    : settledOf(transaction, payment) !== null;

/**
 * What a transaction moved for this payment, base units: exactly its amount or, under `upto`, what the settlement names,
 * more than nothing. Null where there is no such transfer from the payer to the payee.
 */
export function movedBy(transaction: SettlingTransaction, payment: Authorization): bigint | null {
  const amount = payment.method === "permit2" ? settledOf(transaction, payment) : BigInt(payment.amount);
  if (amount === null || (payment.facilitator !== undefined && amount === 0n)) return null;
  const moved = transaction.logs.some((log) => {
    const transfer = readTransfer(log, payment.asset);
    return transfer?.from === payment.payer && transfer.to === payment.payTo && transfer.value === amount;
  });
  return moved ? amount : null;
}

/**
 * All that a transaction took from the payer for this payment, base units, as the token logs it: more than
 * {@link movedBy} where the token took something on top. Other authorizations of the same payer that it used are taken to
 * explain one further transfer each, the smallest ones, so that no part of a larger sum goes uncounted. `moved`: what
 * {@link movedBy} said, where it was asked already.
 */
export function takenBy(
  transaction: SettlingTransaction,
  payment: Authorization,
  moved = movedBy(transaction, payment),
): bigint {
  const taken = transaction.logs.flatMap((log) => {
    const transfer = readTransfer(log, payment.asset);
    return transfer?.from === payment.payer && transfer.to !== payment.payer ? [transfer] : [];
  });
  const own = taken.findIndex(({ to, value }) => to === payment.payTo && value === moved);
  const rest = taken.filter((_transfer, at) => at !== own).map(({ value }) => value);
  const others = transaction.logs.filter(
    (log) =>
      log.address === payment.asset &&
      log.topics[0] === AUTHORIZATION_USED_TOPIC &&
      log.topics[1] === payerWord(payment) &&
      log.topics[2] !== payment.nonce,
  ).length;
  const unexplained = rest.toSorted((a, b) => (a < b ? -1 : Number(a > b))).slice(others);
  return unexplained.reduce((total, value) => total + value, moved ?? 0n);
}

const payerWord = ({ payer }: Authorization): string => toHex0x(addressWord(payer));

function settledOf({ to, input }: SettlingTransaction, payment: Authorization): bigint | null {
  if (to === undefined || input === undefined) return null;
  try {
    const permit = permitOf(payment);
    return settledByCall({ to, input }, { chainId: chainIdOf(payment.network), payer: payment.payer, permit });
  } catch {
    // A file may name a chain or an amount that no call can have.
    return null;
  }
}

/**
 * The last second in which an authorization may be used: the one before `validBefore` (EIP-3009, "before"), or Permit2's
 * deadline itself (SignatureTransfer: expired when `block.timestamp > deadline`).
 */
export const lastSecondOf = ({ method, validBefore }: Authorization): number =>
  method === "eip3009" ? validBefore - 1 : validBefore;

/** When a voucher ends: never, in unix seconds that every format can carry. */
export const NEVER = 4_294_967_295;
