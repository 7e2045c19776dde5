import * as z from "zod";
import type { CallCost } from "../buyer/call-cost.ts";
import type { OwnersWord } from "../buyer/owners-word.ts";
import type { ApprovalDecision, ApprovalRequest, Buyer } from "../buyer/types.ts";
import type { ClientBudget } from "../payment/client-budget.ts";
import type { ErrorCode } from "../errors.ts";
import type { Step } from "./next.ts";

/** What a surface hands to a tool for one call. `Part` names what the tool uses of the buyer. */
export type ToolContext<Part extends keyof Buyer = keyof Buyer> = {
  buyer: Pick<Buyer, Part>;
  signal?: AbortSignal | undefined;
  /** Fractions of one call: `done` of `total` steps; no `total` once it waits for what others have yet to do. */
  progress?: ((update: { message: string; done: number; total?: number }) => unknown) | undefined;
  /** Asks a person. Absent without a person to ask. `ask_later` ends the call with `approval_pending`; it is then made again. */
  approve?: ((request: ApprovalRequest, owner: OwnersWord) => Promise<ApprovalDecision>) | undefined;
  /** Told of the cost of a purchase before anything is signed; throws to refuse. */
  admit?: ((cost: CallCost) => void) | undefined;
  /** Words the step after a success. Absent on surfaces with tools: it then names them. */
  words?: ((step: Step) => string) | undefined;
  /** Stable over retries of one logical call: from thread and tool-call id, or the protocol's own request identity. */
  callKey?: string | undefined;
  /** The program that calls, with its own budget. Its surface knows it by more than its word. */
  client?: ClientBudget | undefined;
  /** The key of a call that a person was asked about: the answer is for it and no other. */
  idempotencyKey?: string | undefined;
};

/** What went wrong, the same object on every surface. */
export const toolErrorSchema = z.object({
  code: z.string(),
  message: z.string(),
  /** Absent where no purchase was made. */
  money: z.enum(["not-moved", "may-move", "moved"]).optional(),
  /** Takes the call up again without paying twice. Present unless no money can move. */
  idempotencyKey: z.string().optional(),
  next: z.string(),
});
/** The same, with a code that the library has: `docs/errors.md` lists them. */
export type ToolError = Omit<z.infer<typeof toolErrorSchema>, "code"> & { code: ErrorCode };

/** What a call of a tool came to: text and data that each stand alone, or an error as data. */
export type ToolOutcome<Data> =
  | { status: "ok"; text: string; data: Data }
  | { status: "error"; text: string; error: ToolError };

/** One tool, defined once for LangChain, MCP, CLI and README. */
export type ToolDefinition<
  Input extends z.ZodObject = z.ZodObject,
  Output extends z.ZodObject = z.ZodObject,
  Part extends keyof Buyer = keyof Buyer,
> = {
  name: string;
  title: string;
  description: string;
  input: Input;
  /** Fields that hold JSON text: an object in its place is written as text. */
  jsonText?: readonly string[];
  output: Output;
  annotations: { readOnlyHint: boolean; destructiveHint: boolean; idempotentHint: boolean; openWorldHint: boolean };
  /**
   * Errors are outcomes: it throws for nothing that a caller can cause. Only a surface whose `approve` says `ask_later` is
   * thrown the question to ask, `approval_pending`.
   */
  run(context: ToolContext<Part>, input: z.output<Input>): Promise<ToolOutcome<z.output<Output>>>;
};
