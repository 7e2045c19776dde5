import type { Chain } from "../payment/chain.ts";
import { observeSettlement } from "../payment/settlement.ts";
import type { Evidence, InclusionEvidence, Receipt, SettlementEvidence } from "../receipts/schema.ts";
import { allEvidence, isOfChain } from "../verify/evidence.ts";
import { sellerOf, type AppraisalPolicy } from "../verify/policy.ts";
import { chainOf, readAnchor } from "./inclusion.ts";

/** A receipt with what the chain shows in place of what its file told of it, and that evidence alone. */
export type ReadAgain = { receipt: Receipt; own: Evidence[] };

/**
 * Reads settlement and inclusion of a receipt again, from the relying party's own nodes. What the chain has not confirmed is
 * taken out; where it shows something else than the file tells, that is a contradiction.
 *
 * Throws Proof402Error `network_not_configured`, `wrong_chain` or `chain_unreachable`.
 */
export async function readChainAgain(
  receipt: Receipt,
  { chains, policy }: { chains: ReadonlyMap<string, Chain>; policy: AppraisalPolicy },
): Promise<ReadAgain> {
  const settled = await readSettlement(receipt, chains);
  const included = await readInclusion(receipt, chains, policy);
  const own = [...settled, ...included];
  const at = receipt.core.response.receivedAt;
  return {
    own,
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

async function readSettlement(receipt: Receipt, chains: ReadonlyMap<string, Chain>): Promise<Evidence[]> {
  const { payment } = receipt.core;
  const told = allEvidence(receipt).filter((one): one is SettlementEvidence => one.kind === "settlement.x402");
  const hint = told.find(({ transaction }) => transaction !== undefined)?.transaction;
  const seen = await observeSettlement(
    chainOf(chains, payment.network),
    payment,
    hint === undefined ? {} : { transactionHint: hint },
  );
  if (seen.state === "pending") return [];
  // The chain shows no signature; it is judged by what it is of.
  const signature = told.length === 1 ? told[0]?.signature : undefined;
  const evidence = { ...seen.evidence, ...(signature === undefined ? {} : { signature }) };
  const differs = told.some(
    ({ outcome, transaction }) => outcome !== evidence.outcome || transaction !== evidence.transaction,
  );
  return differs
    ? [evidence, { kind: "contradiction", layer: "settlement", code: "settlement_not_on_chain" }]
    : [evidence];
}

async function readInclusion(
  receipt: Receipt,
  chains: ReadonlyMap<string, Chain>,
  policy: AppraisalPolicy,
): Promise<Evidence[]> {
  const told = allEvidence(receipt).filter((one): one is InclusionEvidence => one.kind === "inclusion.merkle");
  const relays = sellerOf(policy, receipt.core.seller.id)?.relays ?? [];
  const read = await Promise.all(
    told.map(async (evidence): Promise<Evidence[]> => {
      const contracts = relays.filter(({ network }) => network === evidence.network).map(({ contract }) => contract);
      // Without a relay of the policy's there is nothing to read, and nothing that could pass.
      if (contracts.length === 0) return [evidence];
      const anchor = await readAnchor(chainOf(chains, evidence.network), contracts, evidence);
      if (anchor.state === "anchored") return [{ ...evidence, ...anchor.record }];
      return anchor.state === "contradicted" ? [{ kind: "contradiction", layer: "inclusion", code: anchor.code }] : [];
    }),
  );
  return read.flat();
}
