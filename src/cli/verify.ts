import { readFile } from "node:fs/promises";
import type { Command } from "commander";
import { appraisalPolicyOf } from "../buyer/context.ts";
import { wantedAssurance } from "../receipts/newest.ts";
import type { Config } from "../config/schema.ts";
import { Proof402Error } from "../errors.ts";
import { parseReceipt } from "../receipts/receipt.ts";
import { ASSURANCES, type Assurance, type Receipt, type Verdict } from "../receipts/schema.ts";
import { verificationOf } from "../tools/verify-receipt.ts";
import { appraise } from "../verify/appraise.ts";
import { appraisalPolicySchema } from "../verify/policy.ts";
import { layerTable } from "./layer-table.ts";
import { EXIT, globals, note, print, printJson, type GlobalOptions } from "./globals.ts";
import { configOf, withBuyer } from "./session.ts";

type Options = { at?: string; assurance?: string };

const EXIT_OF: Record<Verdict, number> = { verified: EXIT.ok, failed: EXIT.failed, pending: EXIT.open, unverified: EXIT.open };

/**
 * `proof402 verify FILE|ID`: judges a receipt from its own evidence, offline. A file needs no wallet and no database, and
 * without a configuration is judged by AWS's root alone. Exits 0 verified, 1 failed, 2 pending or unverified, 64 unreadable.
 */
export async function verify(target: string, options: Options, command: Command): Promise<number> {
  const { json = false, ...rest } = globals(command);
  const assurance = readAssurance(options.assurance);
  const at = readTime(options.at);
  const config = await configIfAny(rest);
  const receipt = await readTarget(target, rest);
  const wanted = assurance ?? (config === null ? "attested" : wantedAssurance(receipt, config.verification.assurance));
  const appraisal = await appraise({
    receipt,
    policy: config === null ? appraisalPolicySchema.parse({ assurance: wanted }) : appraisalPolicyOf(config, wanted),
    now: new Date(),
    evaluateAt: at ?? new Date(receipt.core.response.receivedAt),
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
    if (options.config === undefined && Proof402Error.isInstance(error) && error.code === "config_not_found") return null;
    throw error;
  }
}

async function readTarget(target: string, options: GlobalOptions): Promise<Receipt> {
  if (/^p402_[a-z2-7]{52}$/.test(target)) return withBuyer(options, (buyer) => buyer.getReceipt(target));
  return readReceiptFile(target);
}

/** Reads a receipt file. Throws Proof402Error `receipt_unreadable` or one of `parseReceipt`'s codes. */
export async function readReceiptFile(path: string): Promise<Receipt> {
  let bytes: Uint8Array;
  try {
    bytes = await readFile(path);
  } catch (error) {
    throw new Proof402Error("receipt_unreadable", `${path} could not be read.`, { next: "Check the path.", cause: error });
  }
  const parsed = parseReceipt(bytes);
  if (parsed.ok) return parsed.receipt;
  throw new Proof402Error(parsed.code, parsed.message, { next: "Get the receipt again from where it was made; this file cannot be trusted." });
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

const usage = (message: string): Proof402Error => new Proof402Error("usage", message, { next: "See proof402 verify --help." });
