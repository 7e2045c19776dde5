import type { Verdict } from "../receipts/schema.ts";

/** The step after a success, for each surface to word. `id` is a receipt's. */
export type Step =
  | { do: "buy" | "list" | "settle" | "keep" | "done" }
  | { do: "older"; skip: number }
  | { do: "check" | "wait" | "avoid" | "prove" | "more"; id: string };

const AFTER = { verified: "check", pending: "wait", failed: "avoid", unverified: "prove" } as const;

/** The step that a receipt's verdict asks for. */
export const stepAfter = ({ id, verdict }: { id: string; verdict: Verdict }): Step => ({ do: AFTER[verdict], id });

/** A step in the names of tools. Short: a model pays for each word. */
export function inTools(step: Step): string {
  switch (step.do) {
    case "buy":
      return "Buy with buy_inference.";
    case "list":
      return "Call list_models again later.";
    case "settle":
      return "Call spending later: what is reserved may settle.";
    case "older":
      return `Older ones: spending with skip ${step.skip}.`;
    case "keep":
      return "Keep this result.";
    case "done":
      return "Act within what notProven says.";
    case "check":
      return "verify_receipt checks it again.";
    case "wait":
      return "Wait with get_receipt (wait_seconds).";
    case "avoid":
      return "Find another seller: list_models.";
    case "more":
      return `More of it: get_receipt ${step.id}, detailed.`;
    case "prove":
      return "Treat as unproven: its layers say why.";
  }
}
