import { writeFile } from "node:fs/promises";
import { resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { ABSENCES } from "../src/buyer/background/jobs/absences.ts";
import { HOLD_REASONS } from "../src/buyer/hold-reasons.ts";
import { WARNINGS } from "../src/buyer/types.ts";
import { UNREADABLE } from "../src/cli/globals.ts";
import { ERROR_GROUPS } from "../src/errors/codes.ts";
import type { Meaning } from "../src/errors/meaning.ts";
import { REFUSALS } from "../src/payment/refusal-codes.ts";
import { AUDIT_CODES } from "../src/receipts/audit-codes.ts";
import { STATUSES } from "../src/receipts/schema.ts";
import { EVERY_LAYER, LAYER_CODES } from "../src/verify/codes.ts";
import { CONTRADICTIONS } from "../src/verify/contradiction-codes.ts";

const cell = (text: string): string => text.replaceAll("|", "\\|");

function table(heads: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]): string => `| ${cells.map(cell).join(" | ")} |`;
  return [line(heads), `|${"---|".repeat(heads.length)}`, ...rows.map(line)].join("\n");
}

const sentences = (codes: Readonly<Record<string, string>>): string =>
  table(
    ["code", "what it means"],
    Object.entries(codes).map(([code, text]) => [`\`${code}\``, text]),
  );

const errorTable = (codes: Readonly<Record<string, Meaning>>): string =>
  table(
    ["code", "what happened", "what to do"],
    Object.entries(codes).map(([code, [happened, next]]) => [`\`${code}\``, happened, next]),
  );

/** Each code of a layer with each of its statuses, in the order of statuses. */
const layerTable = (codes: Readonly<Record<string, Partial<Record<string, string>>>>): string =>
  table(
    ["status", "code", "what it means"],
    STATUSES.flatMap((status) =>
      Object.entries(codes).flatMap(([code, meanings]) => {
        const meaning = meanings[status];
        return meaning === undefined ? [] : [[status, `\`${code}\``, meaning]];
      }),
    ),
  );

/** docs/errors.md. */
export const errorsPage = (): string =>
  `${[
    "# Errors and codes",
    "<!-- written by scripts/write-errors.ts -->",
    `Codes are stable, and texts may change. An error has a \`code\`, a \`message\`, what to do \`next\` and, in a purchase, what became of the money
(\`money\`): \`not-moved\`, no authorization of the call can be redeemed; \`may-move\`, one was or may have been signed and may still be
redeemed; \`moved\`, a transfer of the call is on chain. The journal and the chain say that, and no code does. Unless no money can move,
the error names the \`idempotencyKey\` that takes the call up again.`,
    'Programs import the type of all codes: `import type { ErrorCode } from "proof402"`.',
    ...ERROR_GROUPS.flatMap(({ title, money, codes }) => [`## ${title}`, money, errorTable(codes)]),
    "## Exit codes of the command",
    `The command ends with 64 if its input could not be used: ${[...UNREADABLE].map((code) => `\`${code}\``).join(", ")}. It ends with 1
for every other error, and with 2 for a verdict that is neither \`verified\` nor \`failed\`.`,
    "# Codes of layers",
    `An appraisal says of each layer a \`status\`, a \`code\` and a \`note\`. Only \`pass\` is a pass. A receipt from another version may have
codes that are not here. \`ok\` is the code of a pass that needs no other word.`,
    ...Object.entries(LAYER_CODES).flatMap(([layer, codes]) => [`## \`${layer}\``, layerTable(codes)]),
    "## Every layer",
    layerTable(EVERY_LAYER),
    "## Contradictions",
    "What the receipt's holder found to contradict it. The layer that a contradiction names fails.",
    sentences(CONTRADICTIONS),
    "## Late evidence that does not come",
    `A note names in brackets why: one of these codes, the code of an error above, or the class of an error that is not ours.`,
    sentences(ABSENCES),
    "# Other codes",
    "## Why a seller refused a payment",
    "`details.reason` of `payment_rejected`, if the seller's answer says it by a code of x402. The seller's word, by which no money is judged.",
    errorTable(
      Object.fromEntries(Object.entries(REFUSALS).map(([code, { message, advice }]) => [code, [message, advice]])),
    ),
    "## Why a seller is on hold",
    "The reason begins with one of these codes, or names the layers that failed and their codes.",
    sentences(HOLD_REASONS),
    "## Warnings",
    "What the owner should know about wallet and database. A warning stops nothing.",
    sentences(WARNINGS),
    "## Audit",
    "`proof402 audit` names the place where log and stored receipts part.",
    sentences(AUDIT_CODES),
  ].join("\n\n")}\n`;

if (process.argv[1] !== undefined && resolve(process.argv[1]) === fileURLToPath(import.meta.url))
  await writeFile(resolve("docs/errors.md"), errorsPage());
