import { isAuthorizationUsed, readTransfer } from "../evidence/eip3009.ts";
import { costIn, movedBy } from "../evidence/settlement.ts";
import { settlementEvidence, type Payment, type SettlementEvidence } from "../receipts/schema.ts";
import type { Chain, LookLimits } from "../chain/chain.ts";
import { isFromChannel } from "./channels.ts";
import { observeVoucher } from "./settlement-channel.ts";
import { isSpent, readBlock, readTransaction, type Block, type TokenTransaction } from "./settlement-read.ts";
import { findSpender } from "./settlement-search.ts";
import type { SettlementView, Sight } from "./settlement-view.ts";
import type { ChainClient } from "../chain/client.ts";

export type LookOptions = LookLimits & {
  /** The seller's word for the transaction: where it is looked first. */
  transactionHint?: string | undefined;
  /** When it was signed, unix seconds: its use is looked for from there on, then anywhere. */
  since?: number | undefined;
};

/** Logs that a receipt's evidence has room for. */
const MAX_LOGS = 64;

/**
 * Asks one RPC about a payment. Only what the chain shows counts: `transactionHint` (the seller's word) is where it
 * looks first, and is believed only where that transaction succeeded, used exactly this authorization and moved exactly
 * its amount to its payee. `settled` and `expired` come once the chain's confirmations lie on top. One RPC's word may
 * be a lie: decisions about money go through {@link believe}.
 *
 * Throws Proof402Error `wrong_chain` or `chain_unreachable`.
 */
export const observeSettlement = async (
  chain: Chain,
  payment: Payment,
  options: LookOptions = {},
): Promise<SettlementView> => (await lookAt(chain, payment, options)).view;

/** As {@link observeSettlement}, with what else was seen. */
export function lookAt(chain: Chain, payment: Payment, options: LookOptions = {}): Promise<Sight> {
  if (isFromChannel(payment)) return observeVoucher(chain, payment, options);
  return chain.read(async (client) => {
    const head = await readBlock(client);
    const hint = options.transactionHint;
    // A hint that the node cannot answer must not keep the rest from being looked at.
    const hinted = hint === undefined ? null : await readTransaction(client, payment, hint).catch(() => null);
    if (hinted !== null && hinted.used && movedBy(hinted, payment) !== null)
      return { head, spent: true, view: await settled(client, chain, head, payment, hinted) };
    const spent = await isSpent(client, payment, head.number);
    if (!spent) return { head, spent, view: await expiredOrPending(client, chain, head, payment, null) };
    const spender = await findSpender(chain, client, payment, head, options.since);
    if (spender === null) return { head, spent, view: { state: "pending" } };
    const view = spender.used
      ? await settled(client, chain, head, payment, spender)
      : await expiredOrPending(client, chain, head, payment, spender);
    return { head, spent, view };
  }, options);
}

/**
 * Whether an authorization's nonce is used (or canceled) at the chain's head, confirmed or not, by the word of either RPC
 * where two are configured. No voucher has one. Throws Proof402Error `wrong_chain` or `chain_unreachable`.
 */
export async function isUsed(chain: Chain, payment: Payment): Promise<boolean> {
  const used = await chain.read(async (client) => isSpent(client, payment, (await readBlock(client)).number));
  return used || (chain.witness !== null && isUsed(chain.witness, payment));
}

async function settled(
  client: ChainClient,
  chain: Chain,
  head: Block,
  payment: Payment,
  transaction: TokenTransaction,
): Promise<SettlementView> {
  if (head.number - transaction.blockNumber < BigInt(chain.confirmations)) return { state: "pending" };
  const block = await readBlock(client, transaction.blockNumber);
  // The block was replaced while we looked.
  if (block.hash !== transaction.blockHash) return { state: "pending" };
  const evidence = evidenceOf(payment, block, "settled", transaction);
  return { state: "settled", evidence, transaction: transaction.hash, ...movedFor(transaction, payment) };
}

/** What the payment took. */
function movedFor(
  transaction: TokenTransaction,
  payment: Payment,
): Pick<Extract<SettlementView, { state: "settled" }>, "amount" | "fault"> {
  const { amount, isMore } = costIn(transaction, payment);
  return { amount: amount.toString(), fault: isMore ? "token_moved_more" : null };
}

/**
 * EIP-3009 allows use only in a block whose time is before `validBefore`. Once a confirmed block is past it, an
 * authorization unused at the head stays unused. `cancellation` is the transaction that took it back, if one did.
 */
async function expiredOrPending(
  client: ChainClient,
  chain: Chain,
  head: Block,
  payment: Payment,
  cancellation: TokenTransaction | null,
): Promise<SettlementView> {
  const depth = BigInt(chain.confirmations);
  if (head.time <= payment.validBefore || head.number < depth) return { state: "pending" };
  const block = depth === 0n ? head : await readBlock(client, head.number - depth);
  if (block.time <= payment.validBefore) return { state: "pending" };
  if (cancellation !== null && cancellation.blockNumber > block.number) return { state: "pending" };
  const reason = cancellation === null ? "authorization_expired" : "authorization_canceled";
  return { state: "expired", reason, evidence: evidenceOf(payment, block, "expired", null) };
}

/** Parsed by the receipt's own schema: a malformed answer of the RPC ends here and not in a receipt. */
const evidenceOf = (
  payment: Payment,
  block: Block,
  outcome: SettlementEvidence["outcome"],
  transaction: TokenTransaction | null,
): SettlementEvidence =>
  settlementEvidence.parse({
    kind: "settlement.x402",
    network: payment.network,
    outcome,
    ...(transaction === null ? {} : { transaction: transaction.hash }),
    blockNumber: block.number.toString(),
    blockHash: block.hash,
    blockTime: block.time,
    logs: transaction === null ? [] : relevantLogs(transaction, payment),
    ...(transaction?.to === undefined ? {} : { to: transaction.to, input: transaction.input }),
  });

/** All of the token's logs where they fit; of a large batch those that concern this payer, this payment's before others. */
function relevantLogs(transaction: TokenTransaction, payment: Payment): TokenTransaction["logs"] {
  const { logs } = transaction;
  if (logs.length <= MAX_LOGS) return logs;
  const isOwn = (log: TokenTransaction["logs"][number]): boolean =>
    isAuthorizationUsed(log, payment.asset, payment.payer, payment.nonce) ||
    movedBy({ ...transaction, logs: [log] }, payment) !== null;
  const own = logs.filter(isOwn);
  const others = logs.filter(
    (log) => !isOwn(log) && (readTransfer(log, payment.asset)?.from === payment.payer || isUseBy(log, payment)),
  );
  return own.length + others.length <= MAX_LOGS ? [...own, ...others] : own.slice(0, MAX_LOGS);
}

const isUseBy = (log: TokenTransaction["logs"][number], { asset, payer }: Payment): boolean =>
  log.topics[2] !== undefined && isAuthorizationUsed(log, asset, payer, log.topics[2]);
