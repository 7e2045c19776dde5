import type { Command } from "commander";
import { giveWord, listApprovals, type Approval } from "../buyer/approvals.ts";
import type { Config } from "../config/schema.ts";
import { chainName, sumText } from "../chain/money-text.ts";
import { findAsset } from "../payment/policy.ts";
import { EXIT, globals, print, printResult } from "./globals.ts";
import { configOf, withStore } from "./session.ts";

/** `proof402 approvals`: payments that wait for the owner's answer, because no person could be asked where they were begun. */
export async function showApprovals(_options: unknown, command: Command): Promise<number> {
  const { json = false, ...rest } = globals(command);
  const config = await configOf(rest);
  const approvals = await withStore(rest, (db) => listApprovals(db, Date.now()));
  const next =
    approvals.length === 0
      ? "No payment waits for an answer."
      : "Answer with proof402 approvals approve ID, or proof402 approvals decline ID.";
  if (json) printResult({ approvals: approvals.map((one) => viewOf(one, config)) }, next);
  else {
    for (const one of approvals) print(lineOf(one, config));
    print(next);
  }
  return EXIT.ok;
}

/** `proof402 approvals approve` and `decline`: the owner's answer, which one call uses once. */
export const answerApproval =
  (state: "approved" | "declined") =>
  async (id: string, _options: unknown, command: Command): Promise<number> => {
    const { json = false, ...rest } = globals(command);
    const config = await configOf(rest);
    const given = await withStore(rest, (db) => giveWord(db, id, state, Date.now()));
    const next =
      state === "approved"
        ? "Have the call made again with the same idempotency key: the payment policy still judges it."
        : "The call ends with approval_declined if it is made again.";
    if (json) printResult(viewOf(given, config), next);
    else print(`${lineOf(given, config)}\n${next}`);
    return EXIT.ok;
  };

const viewOf = (one: Approval, { payment }: Config): Record<string, unknown> => {
  const asset = findAsset(one, payment.assets);
  return {
    id: one.id,
    state: one.state,
    model: one.model,
    seller: one.seller_id,
    payTo: one.pay_to,
    network: one.network,
    asset: one.asset,
    amount: one.amount,
    symbol: asset?.symbol ?? null,
    decimals: asset?.decimals ?? null,
    askedAt: new Date(one.asked_at).toISOString(),
    besides: one.besides,
    endsAt: new Date(one.ends_at).toISOString(),
    idempotencyKey: one.idempotency_key,
  };
};

function lineOf(one: Approval, { payment }: Config): string {
  const sum = sumText(one.amount, findAsset(one, payment.assets), one);
  const [asked, ends] = [one.asked_at, one.ends_at].map((at) => new Date(at).toISOString());
  return `${one.id}  ${one.state}: ${sum} on ${chainName(one.network)} to "${one.seller_id}" (payee ${one.pay_to}) for one inference of ${one.model}; asked ${asked}, ends ${ends}${one.besides === "" ? "" : `. ${one.besides}`}`;
}
