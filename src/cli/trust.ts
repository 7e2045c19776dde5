import type { Command } from "commander";
import { appraisalPolicyOf } from "../buyer/context.ts";
import { Proof402Error } from "../errors.ts";
import { fromUtf8 } from "../evidence/bytes.ts";
import { writeNew } from "../files/write-new.ts";
import { parseJsonText } from "../evidence/json-text.ts";
import { policyHash, trustSchema, type AppraisalPolicy, type TrustFile } from "../verify/policy.ts";
import { quoted } from "./quoted.ts";
import { EXIT, globals, note, printResult } from "./globals.ts";
import { readBounded } from "./receipt-file.ts";
import { configOf } from "./session.ts";

/** The text of a trust file. */
export const trustText = (policy: AppraisalPolicy): string =>
  `${JSON.stringify({ type: "proof402/trust", version: 1, policy } satisfies TrustFile, null, 2)}\n`;

/**
 * `proof402 trust export FILE`: this buyer's pins as one file for others to judge by. It holds no key and no address of
 * this machine. Throws Proof402Error as `writeNew` does, also where the file is there already.
 */
export async function exportTrust(
  file: string,
  options: { reportedSuffices?: boolean },
  command: Command,
): Promise<number> {
  const { json = false, ...rest } = globals(command);
  const config = await configOf(rest);
  const policy = {
    ...appraisalPolicyOf(config, config.verification.assurance),
    ...(options.reportedSuffices === true ? { reportedSuffices: true } : {}),
  };
  await writeNew(file, trustText(policy));
  const hash = policyHash(policy);
  const next = `Hand it on. Others judge a receipt by it with: proof402 verify receipt.json --trust ${quoted(file)}`;
  if (json) printResult({ file, hash }, next);
  else note(`Wrote ${file}, policy ${hash}\n${next}`);
  return EXIT.ok;
}

/** Reads a trust file. Throws Proof402Error `file_unreadable` or `config_invalid`. */
export async function readTrustFile(path: string): Promise<AppraisalPolicy> {
  const bytes = await readBounded(path).catch((error: unknown) => {
    throw new Proof402Error("file_unreadable", `${path} could not be read.`, { next: "Check the path.", cause: error });
  });
  const parsed = trustSchema.safeParse(valueOf(bytes));
  if (parsed.success) return parsed.data.policy;
  throw new Proof402Error("config_invalid", `${path} is not a trust file.`, {
    next: "Ask its author for a new one (`proof402 trust export`).",
  });
}

function valueOf(bytes: Uint8Array): unknown {
  try {
    const json = parseJsonText(fromUtf8(new Uint8Array(bytes)));
    return json.ok ? json.value : undefined;
  } catch {
    return undefined;
  }
}
