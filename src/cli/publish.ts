import type { Command } from "commander";
import { toHex0x, type Address } from "../evidence/bytes.ts";
import { canonicalSha256 } from "../evidence/canonical.ts";
import { Proof402Error } from "../errors.ts";
import { openChain } from "../chain/chain.ts";
import { noteTold } from "../chain/owner/transactions.ts";
import { postValidation, type Posting } from "../chain/owner/validation.ts";
import { bareCore, receiptDigest } from "../receipts/receipt.ts";
import { fullId } from "../receipts/search.ts";
import { LAYERS, type Appraisal, type Receipt } from "../receipts/schema.ts";
import { DEVELOPMENT_PROOF } from "../verify/computation/groth16.ts";
import { proofOnChain } from "./publish-proof.ts";
import { EXIT, globals, note, print, printResult } from "./globals.ts";
import { consent, gasText, gasView } from "./owner.ts";
import { withBuyer, withStore } from "./session.ts";
import { openWallet } from "./wallet.ts";

/** What ERC-8004 takes for a verdict: a number from 0 (failed) to 100 (passed). It has none for an open one. */
const RESPONSES = { verified: 100, failed: 0 } as const;

type PublishOptions = { agent: string; yes?: boolean; proof?: boolean };

/** `proof402 receipts publish ID`: posts the receipt's hash and its verdict, as judged now, to the configured registry. */
export async function publishReceipt(given: string, options: PublishOptions, command: Command): Promise<number> {
  const { json = false, ...rest } = globals(command);
  if (!/^(?:0|[1-9][0-9]{0,76})$/.test(options.agent)) {
    throw new Proof402Error("invalid_input", "--agent is not an agent id.", { next: "Give a whole number." });
  }
  const { config, wallet } = await openWallet(rest);
  const registry = config.validationRegistry;
  const network = config.networks.find((one) => one.network === registry?.network);
  if (registry === undefined || network === undefined) {
    throw new Proof402Error("registry_not_configured", "No validation registry is configured.", {
      next: 'Add "validationRegistry": { "network", "contract" } to the configuration.',
    });
  }
  const id = await withStore(rest, (db) => fullId(db, given));
  const { receipt, appraisal } = await withBuyer(rest, async (buyer) => {
    const stored = await buyer.getReceipt(id);
    return { receipt: stored, appraisal: await buyer.verify(stored) };
  });
  const posting = postingOf(receipt, appraisal, { registry: registry.contract, agentId: BigInt(options.agent) });
  const onChain = options.proof === true ? proofOnChain(receipt, config) : null;
  if (onChain !== null) note(`Has the proof checked by ${onChain.contract}.`);
  note(
    `Posts to ${registry.contract} on ${registry.network}, for everyone to see: receipt ${receipt.id} is ${appraisal.verdict} (${posting.tag}), says validator ${wallet.address}. Costs gas.`,
  );
  const asking = (on: string) => ({ wallet, confirm: consent(on, options.yes) });
  const { checked, posted } = await withStore(rest, async (db) => {
    const record = onChain === null ? null : await onChain.record({ db, ...asking(onChain.network) });
    const posted = await postValidation({ db, chain: openChain(network), ...asking(network.network) }, posting);
    // Only now: where the posting fails, the next run tells of the record and makes no other.
    if (record !== null) await noteTold(db, record.transaction);
    return { checked: record, posted };
  });
  const { status } = posted;
  const view = {
    receipt: receipt.id,
    verdict: appraisal.verdict,
    transaction: posted.transaction,
    requestTransaction: posted.requestTransaction,
    ...gasView(posted),
    ...(checked === null || onChain === null
      ? {}
      : { proof: { contract: onChain.contract, transaction: checked.transaction, ...gasView(checked) } }),
    registry: { ...registry, requestHash: posting.requestHash, ...status, agentId: status.agentId.toString() },
  };
  if (json) printResult(view, "Anyone can read the verdict from that registry now.");
  else {
    if (checked !== null && onChain !== null)
      print(`Proof checked by ${onChain.contract} in ${checked.transaction}, ${gasText(checked)}.`);
    print(
      `Posted in ${view.transaction}, ${posted.earlier ? "which an earlier command signed, " : ""}${view.gasUsed} gas in all, which cost ${view.gasCost} of the chain's own coin.`,
    );
    print(
      `The registry says: request ${posting.requestHash}, response ${status.response} of 100, tag ${status.tag}, validator ${status.validator}, agent ${status.agentId}.`,
    );
  }
  return EXIT.ok;
}

/**
 * The request is the purchase (its hash is the one that the receipt's id spells), the response the whole receipt as it
 * stands, bodies left out: the digest of its exported file. Throws Proof402Error `verdict_open`, `refusal_not_posted`.
 */
function postingOf(receipt: Receipt, appraisal: Appraisal, to: { registry: Address; agentId: bigint }): Posting {
  const { verdict, assurance, simulated, layers } = appraisal;
  const development = layers.computation.code === DEVELOPMENT_PROOF;
  if (verdict !== "verified" && verdict !== "failed") {
    throw new Proof402Error("verdict_open", `The receipt's verdict is ${verdict}: there is nothing to post yet.`, {
      next: "Only verified or failed can be said in a registry. Wait with `proof402 receipts show ID --wait 60`.",
    });
  }
  const failed = LAYERS.filter((layer) => layers[layer].status === "fail").map((layer) => layers[layer].code);
  if (verdict === "failed" && failed.every((code) => code === "status_not_ok")) {
    throw new Proof402Error(
      "refusal_not_posted",
      "The seller answered with an error: no answer of its was found false.",
      {
        next: "Only what a seller's answer shows is posted. Nothing signs a status, so a registry could not know who is right.",
      },
    );
  }
  return {
    ...to,
    uri: `urn:proof402:receipt:${receipt.id}`,
    requestHash: toHex0x(canonicalSha256(bareCore(receipt.core))),
    response: RESPONSES[verdict],
    responseHash: `0x${receiptDigest(receipt)}`,
    tag: `proof402:${assurance}${simulated ? ":simulated" : ""}${development ? ":development" : ""}`,
  };
}
