import type { Command } from "commander";
import { appraisalPolicyOf } from "../buyer/context.ts";
import { wantedAssurance } from "../receipts/newest.ts";
import type { Config } from "../config/schema.ts";
import { Proof402Error } from "../errors.ts";
import { createEzklEngine } from "../ezkl/engine.ts";
import { ASSURANCES, type Assurance, type Receipt, type Verdict } from "../receipts/schema.ts";
import { verificationOf } from "../tools/verify-receipt.ts";
import { appraise } from "../verify/appraise.ts";
import { appraisalPolicySchema } from "../verify/policy.ts";
import { layerTable } from "./layer-table.ts";
import { EXIT, globals, note, print, printJson, type GlobalOptions } from "./globals.ts";
import { readReceiptFile } from "./receipt-file.ts";
import { configOf, storedReceipt, withStore } from "./session.ts";

type Options = { at?: string; assurance?: string };

const EXIT_OF: Record<Verdict, number> = {
  verified: EXIT.ok,
  failed: EXIT.failed,
  pending: EXIT.open,
  unverified: EXIT.open,
};

/**
 * `proof402 verify FILE|ID`: judges a receipt from its own evidence, offline. A file needs no wallet and no database, and
 * without a configuration is judged by AWS's root alone. An id is looked up in the database. Exits 0 verified, 1 failed, 2 pending or unverified, 64 unreadable.
 */
export async function verify(target: string, options: Options, command: Command): Promise<number> {
  const { json = false, ...rest } = globals(command);
  const assurance = readAssurance(options.assurance);
  const at = readTime(options.at);
  const config = await configIfAny(rest);
  const { receipt, wanted } = await readTarget(target, rest, config?.verification.assurance ?? "attested");
  const appraisal = await appraise({
    receipt,
    policy:
      config === null
        ? appraisalPolicySchema.parse({ assurance: assurance ?? wanted })
        : appraisalPolicyOf(config, assurance ?? wanted),
    now: new Date(),
    evaluateAt: at ?? new Date(receipt.core.response.receivedAt),
    ezkl: createEzklEngine(),
  });
  if (json) printJson(verificationOf(receipt, appraisal));
  else {
    if (config === null) note("No configuration found: judged by AWS's root, without reference values for any seller.");
    print(`Receipt ${receipt.id}\n${layerTable(appraisal)}`);
  }
  return EXIT_OF[appraisal.verdict];
}

/** None is needed, but one that is named or broken is not passed over in silence. */
async function configIfAny(options: GlobalOptions): Promise<Config | null> {
  try {
    return await configOf(options);
  } catch (error) {
    if (
      options.config === undefined &&
      !process.env["PROOF402_CONFIG"] &&
      Proof402Error.isInstance(error) &&
      error.code === "config_not_found"
    )
      return null;
    throw error;
  }
}

/** The receipt and the assurance to judge it by: what a stored purchase was asked for. A file's own word on that counts nothing. */
async function readTarget(
  target: string,
  options: GlobalOptions,
  byDefault: Assurance,
): Promise<{ receipt: Receipt; wanted: Assurance }> {
  if (!/^p402_[a-z2-7]{52}$/.test(target)) return { receipt: await readReceiptFile(target), wanted: byDefault };
  const receipt = await withStore(options, (db) => storedReceipt(db, target));
  return { receipt, wanted: wantedAssurance(receipt, byDefault) };
}

function readAssurance(given: string | undefined): Assurance | undefined {
  const found = ASSURANCES.find((one) => one === given);
  if (given !== undefined && found === undefined) throw usage(`--assurance must be one of ${ASSURANCES.join(", ")}.`);
  return found;
}

function readTime(given: string | undefined): Date | undefined {
  if (given === undefined) return undefined;
  const at = given === "now" ? new Date() : new Date(given);
  if (Number.isNaN(at.getTime())) throw usage("--at must be a time such as 2026-11-23T12:00:00Z, or now.");
  return at;
}

const usage = (message: string): Proof402Error =>
  new Proof402Error("usage", message, { next: "See proof402 verify --help." });
