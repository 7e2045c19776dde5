import type { Step } from "../tools/next.ts";

/** The command that buys, for a person to fill in. */
export const buyCommand = ({
  model = "MODEL",
  seller,
  assurance,
  input,
}: {
  model?: string | undefined;
  seller?: string;
  assurance?: string | undefined;
  input?: Record<string, unknown> | null | undefined;
} = {}): string => {
  const to = seller === undefined ? "" : ` --seller ${seller}`;
  const asked = assurance === undefined ? "" : ` --assurance ${assurance}`;
  return `buy ${model}${to}${asked} --input '${input == null ? '{"NAME":VALUES}' : JSON.stringify(input)}'`;
};

/** The step after a success, in commands. */
export function inCommands(step: Step): string {
  switch (step.do) {
    case "buy":
      return `Buy with: proof402 ${buyCommand()}`;
    case "list":
      return "Look at the sellers with: proof402 doctor";
    case "settle":
      return "Look up reserved payments with: proof402 spending --reconcile";
    case "older":
      return `For more: proof402 spending --skip ${step.skip}`;
    case "keep":
      return "Keep this result.";
    case "done":
      return "Act within what is said to be not proven.";
    case "check":
      return `Look at it with: proof402 receipts show ${step.id}`;
    case "wait":
      return `Wait for its verdict with: proof402 receipts show ${step.id} --wait 30`;
    case "avoid":
      return `See why with: proof402 receipts show ${step.id}`;
    case "more":
      return `More of it: proof402 receipts show ${step.id}`;
    case "prove":
      return `See what is missing with: proof402 receipts show ${step.id}`;
  }
}
