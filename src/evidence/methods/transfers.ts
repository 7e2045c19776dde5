import { toHex0x } from "../bytes.ts";
import { addressWord, AUTHORIZATION_USED_TOPIC, readTransfer } from "../eip3009.ts";
import {
  fault,
  type Authorization,
  type Finding,
  type SettlingTransaction,
  type ShownSettlement,
  type Use,
} from "./method.ts";

/**
 * Reads the amount moved for this payment, base units: exactly its amount or, of a metered one, the settled sum above
 * 0. Null where there is no such transfer from the payer to the payee.
 */
export function movedIn(transaction: SettlingTransaction, payment: Authorization, use: Use): bigint | null {
  const amount = use.amountIn(transaction, payment);
  const moved = transaction.logs.some((log) => {
    const transfer = readTransfer(log, payment.asset);
    return transfer?.from === payment.payer && transfer.to === payment.payTo && transfer.value === amount;
  });
  return moved ? amount : null;
}

/**
 * All that a transaction took from the payer for this payment, base units, as the token logs it: more than {@link
 * movedIn} where the token took something on top. If the transaction used other authorizations of this payer, each
 * explains one further transfer, the smallest first, so that no part of a larger sum goes uncounted. `moved`: what
 * {@link movedIn} said.
 */
export function takenIn(transaction: SettlingTransaction, payment: Authorization, moved: bigint | null): bigint {
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
      log.topics[1] === toHex0x(addressWord(payment.payer)) &&
      log.topics[2] !== payment.nonce,
  ).length;
  const unexplained = rest.toSorted((a, b) => Number(a - b)).slice(others);
  return unexplained.reduce((total, value) => total + value, moved ?? 0n);
}

/** The common part of methods with one token transfer from payer to payee per authorization. */
export const byTransfer = (use: Use) => ({
  ...use,
  claimed: false,
  does: "The authorization is",
  signerOf: ({ payer }: Authorization) => payer,
  contradictionIn: () => null,
  judge: (payment: Authorization, shown: ShownSettlement, earliest: number) => judge(use, payment, shown, earliest),
});

function judge(use: Use, payment: Authorization, shown: ShownSettlement, earliest: number): Finding {
  const last = use.lastSecondOf(payment);
  if (shown.outcome === "expired") {
    if (shown.blockTime <= last) return fault("not_expired", "The chain had not passed the authorization's end.");
    return {
      status: "skip",
      code: "authorization_expired",
      note: "The authorization was never used and no longer can be: no money moved.",
    };
  }
  if (shown.transaction === undefined) return fault("transaction_missing", "The settlement names no transaction.");
  const moved = movedIn(shown, payment, use);
  // What a call moved is read from the use itself.
  if ((moved === null || !use.usedByCall) && !use.isUsedIn(shown, payment))
    return fault("authorization_not_used", "The transaction did not use this payment's authorization.");
  if (moved === null)
    return fault("transfer_mismatch", "The transaction did not transfer this amount from the payer to the payee.");
  const taken = takenIn(shown, payment, moved);
  if (taken > moved)
    return fault(
      "token_moved_more",
      `The token took ${taken} base units from the payer, where ${moved} were authorized.`,
    );
  // The chain's clock and ours may differ; the upper end is the contract's own rule.
  if (shown.blockTime < earliest || shown.blockTime > last)
    return fault("settlement_time", "The transfer lies outside the authorization's life.");
  const amount = use.metered ? ` of ${moved} base units, of at most ${payment.amount},` : "";
  return { status: "pass", note: `The transfer${amount} is in transaction ${shown.transaction}.` };
}
