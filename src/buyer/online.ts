import { equalBytes } from "../evidence/bytes.ts";
import { canonicalSha256 } from "../evidence/canonical.ts";
import { movedBy } from "../evidence/settlement.ts";
import { readAnchor } from "../chain/anchor.ts";
import { chainOf, type Chain } from "../chain/chain.ts";
import { observeSettlement } from "../payment/settlement.ts";
import { isOtherChannel } from "../payment/settlement-channel.ts";
import { isMined, readBlock, readTransaction } from "../payment/settlement-read.ts";
import type { SettlementView } from "../payment/settlement-view.ts";
import { isDisputed, piecesOf, withOnly } from "../receipts/disputed.ts";
import type { Evidence, LayerResult, Payment, Receipt, SettlementEvidence } from "../receipts/schema.ts";
import { contradiction } from "../verify/contradiction-codes.ts";
import { allEvidence, isOfChain, isOwnAmong, onlyOne } from "../verify/find-evidence.ts";
import { judgeInclusion } from "../verify/layers/inclusion.ts";
import { judgeSettlement, signatureOfPayer } from "../verify/layers/payment.ts";
import { createVerificationCache } from "../verify/verification-cache.ts";
import { sellerOf, type AppraisalPolicy } from "../verify/policy.ts";
import { pass, type Outstanding } from "../verify/types.ts";

/**
 * A receipt with the chain's evidence in place of its file's word, that evidence alone, and the evidence still awaited.
 */
export type ReadAgain = { receipt: Receipt; own: Evidence[]; awaited: Outstanding[] };

type Reading = { chains: ReadonlyMap<string, Chain>; policy: AppraisalPolicy };

/**
 * Reads settlement and inclusion of a receipt again, from the relying party's own nodes. What the chain has not
 * confirmed yet is taken out, and a verdict waits for it. Where the chain shows something else than the file tells, in
 * any field, that is a contradiction. A node may have dropped an old transaction, so its absence contradicts nothing.
 * The told block contradicts if it lacks the transaction. What already fails as it is told stays in its place.
 *
 * Throws Proof402Error `network_not_configured`, `wrong_chain` or `chain_unreachable`.
 */
export async function readChainAgain(receipt: Receipt, reading: Reading): Promise<ReadAgain> {
  const settled = await readSettlement(receipt, reading);
  const included = await readInclusion(receipt, reading);
  const own = [...settled, ...included];
  const at = receipt.core.response.receivedAt;
  const isGone = (read: Evidence[], kind: Evidence["kind"]): boolean =>
    read.length === 0 && toldOf(receipt, kind).length > 0;
  return {
    own,
    awaited: [
      ...(isGone(settled, "settlement.x402") ? [NOT_SEEN] : []),
      ...(isGone(included, "inclusion.merkle") ? [NOT_CONFIRMED] : []),
    ],
    receipt: {
      ...receipt,
      core: { ...receipt.core, evidence: receipt.core.evidence.filter((evidence) => !isOfChain(evidence)) },
      later: [
        ...receipt.later.filter(({ evidence }) => !isOfChain(evidence)),
        ...own.map((evidence) => ({ at, evidence })),
      ],
    },
  };
}

const NOT_SETTLED = contradiction("settlement", "settlement_not_on_chain");

const NOT_SEEN: Outstanding = {
  layer: "settlement",
  status: "pending",
  code: "awaiting_settlement",
  note: "The file tells of a settlement that this node does not have, or has not confirmed.",
  holdsVerdict: false,
};

/** An anchoring is no required layer, so its absence alone would hold no verdict. */
const NOT_CONFIRMED: Outstanding = {
  layer: "inclusion",
  status: "pending",
  code: "inclusion_not_confirmed",
  note: "The file tells of an anchoring that this node does not have, or has not confirmed.",
  holdsVerdict: true,
};

/**
 * Asks the chain about the payment. Of several words in dispute each only says where to look first, and all of them together
 * contradict the chain only if none is what it shows.
 */
async function readSettlement(receipt: Receipt, { chains, policy }: Reading): Promise<Evidence[]> {
  const kind = "settlement.x402";
  const { payment } = receipt.core;
  const told = allEvidence(receipt).filter((one): one is SettlementEvidence => one.kind === kind);
  if (told.length > 1 && !isDisputed(receipt, kind)) return told;
  const alone = told.map((one) => withOnly(receipt, kind, one));
  const isFailing = (one: Receipt): boolean => judgeSettlement(one, policy, isOwnAmong()).status === "fail";
  if (told.length > 0 && alone.every(isFailing)) return told.slice(0, 1);
  const chain = chainOf(chains, payment.network);
  const seen = await observeSettlement(chain, payment, { transactionHint: await usedIn(chain, payment, told) });
  const differs = told.length > 0 && (await areOther(chain, payment, told, seen));
  // The chain shows no signature: it shows by itself if it is the payer's. A wrong one in each piece stays, and fails the payment.
  const session = createVerificationCache();
  const signed = alone.map((one) => signatureOfPayer(one, session));
  const found = told[signed.every((one) => one === "wrong") ? 0 : signed.indexOf("shown")]?.signature;
  const signature = found === undefined ? {} : { signature: found };
  const shown = seen.state === "pending" ? [] : [{ ...seen.evidence, ...signature }];
  return differs ? [...shown, NOT_SETTLED] : shown;
}

/** The told transaction that used this authorization. */
async function usedIn(
  chain: Chain,
  payment: Payment,
  told: readonly SettlementEvidence[],
): Promise<string | undefined> {
  for (const { transaction } of told) {
    if (transaction === undefined) continue;
    // A transaction that the node cannot answer for must not keep the rest from being looked at.
    const found = await chain.read((client) => readTransaction(client, payment, transaction).catch(() => null));
    if (found !== null && found.used && movedBy(found, payment) !== null) return transaction;
  }
  return undefined;
}

/** Whether the chain shows another settlement than each one that is told. */
async function areOther(
  chain: Chain,
  payment: Payment,
  told: readonly SettlementEvidence[],
  seen: SettlementView,
): Promise<boolean> {
  for (const one of told) if (!(await isOtherSettlement(chain, payment, one, seen))) return false;
  return true;
}

/** Whether the chain shows another settlement than the one that is told. */
async function isOtherSettlement(
  chain: Chain,
  payment: Payment,
  told: SettlementEvidence,
  seen: SettlementView,
): Promise<boolean> {
  // The buyer's own words in it: no chain tells them.
  const { signature: _signature, shared: _shared, ...fields } = told;
  if (seen.state === "settled" && seen.transaction !== null) return !isSame(fields, seen.evidence);
  // The end of an authorization and the state of a channel are true of each block from some one on, so the block may be another.
  const { blockNumber, blockHash, blockTime } = told;
  const block = { blockNumber, blockHash, blockTime };
  if (seen.state !== "pending") {
    const { channel } = seen.evidence;
    const expected = { ...seen.evidence, ...block, ...(channel === undefined ? {} : { channel: told.channel }) };
    if (!isSame(fields, expected)) return true;
  }
  const place = await placeOf(chain, told);
  if (place === "none" || (place === "confirmed" && (await isOtherChannel(chain, payment, told)))) return true;
  if (seen.state !== "pending" || told.transaction === undefined) return false;
  const { transaction } = told;
  const used = await chain.read((client) => readTransaction(client, payment, transaction));
  if (used !== null) return !used.used || movedBy(used, payment) === null;
  return place === "confirmed" && (await chain.read((client) => isMined(client, transaction)));
}

/**
 * Reads each of the differing words by itself, and takes the one that the chain shows exactly so. If each fails or is
 * contradicted, that is told. Else one may still be confirmed.
 */
async function readInclusion(receipt: Receipt, reading: Reading): Promise<Evidence[]> {
  const kind = "inclusion.merkle";
  if (!isDisputed(receipt, kind)) return readTold(receipt, reading);
  const failed: Evidence[] = [];
  const contradicted: Evidence[] = [];
  let isOpen = false;
  for (const told of piecesOf(receipt, kind)) {
    const one = withOnly(receipt, kind, told);
    const found = await readTold(one, reading);
    const against = found.filter((evidence) => evidence.kind === "contradiction");
    if (found.length === 0) isOpen = true;
    else if (against.length > 0) contradicted.push(...against);
    else if (judgeTold(one, reading.policy).status === "fail") failed.push(told);
    else return found;
  }
  if (isOpen) return [];
  return contradicted.length > 0 ? contradicted : failed.slice(0, 1);
}

const judgeTold = (receipt: Receipt, policy: AppraisalPolicy): LayerResult =>
  judgeInclusion(receipt, { request: pass(""), response: pass("") }, policy, isOwnAmong());

async function readTold(receipt: Receipt, { chains, policy }: Reading): Promise<Evidence[]> {
  const judged = judgeTold(receipt, policy);
  const found = onlyOne(allEvidence(receipt), "inclusion.merkle");
  if (judged.status === "fail" || found.kind !== "one") return toldOf(receipt, "inclusion.merkle");
  const { evidence } = found;
  const relays = sellerOf(policy, receipt.core.seller.id)?.relays ?? [];
  const contracts = relays.filter(({ network }) => network === evidence.network).map(({ contract }) => contract);
  // Without a relay of the policy's there is nothing to read, and nothing that could pass.
  if (contracts.length === 0) return [evidence];
  const chain = chainOf(chains, evidence.network);
  const anchor = await readAnchor(chain, contracts, evidence);
  if (anchor.state === "contradicted") return [contradiction("inclusion", anchor.code)];
  if (anchor.state === "pending") return [];
  if (anchor.state === "unknown")
    return (await placeOf(chain, evidence)) === "none" ? [contradiction("inclusion", "not_anchored")] : [];
  const shown = { ...evidence, ...anchor.record };
  return isSame(evidence, shown) ? [shown] : [shown, contradiction("inclusion", "inclusion_not_on_chain")];
}

/**
 * Where a told block with the told transaction is: confirmed as it is told, ahead of what this node has confirmed, or
 * nowhere. A node may lag, so a block ahead of it is no contradiction.
 */
const placeOf = (
  chain: Chain,
  told: Pick<SettlementEvidence, "blockNumber" | "blockHash" | "blockTime" | "transaction">,
): Promise<"confirmed" | "ahead" | "none"> =>
  chain.read(async (client) => {
    const head = await readBlock(client);
    const number = BigInt(told.blockNumber);
    const confirmed = head.number - BigInt(chain.confirmations);
    if (number > confirmed) return told.blockTime < head.time && number > head.number ? "none" : "ahead";
    const block = await readBlock(client, number);
    const lacks = told.transaction !== undefined && block.transactions?.includes(told.transaction) === false;
    return block.hash === told.blockHash && block.time === told.blockTime && !lacks ? "confirmed" : "none";
  });

const toldOf = (receipt: Receipt, kind: Evidence["kind"]): Evidence[] =>
  allEvidence(receipt).filter((evidence) => evidence.kind === kind);

const isSame = (one: object, other: object): boolean => equalBytes(canonicalSha256(one), canonicalSha256(other));
