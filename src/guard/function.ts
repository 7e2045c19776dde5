import type { ActionRecord } from "../buyer/action-types.ts";
import { Proof402Error } from "../errors.ts";
import { fix } from "./arguments.ts";
import { runOn, type ActionCall, type GuardedTool } from "./guard.ts";
import { readRequirement, type GuardOptions } from "./requirement.ts";
import { settleActions, type Settle } from "./settle.ts";

/** An acting function, with its name on the record. */
export type Action<Args, Result> = {
  name: string;
  /** Called once per claim, with frozen plain data. */
  run(args: Args, call: ActionCall): Result | Promise<Result>;
  /** Reads a caller's arguments, such as a schema's `parse`: once, before they are judged. What it throws refuses the call. */
  read?: ((args: unknown) => Args | Promise<Args>) | undefined;
  /** Finds out what became of an undecided action. */
  settle?: Settle<Args> | undefined;
};

/** A function behind a guard. */
export type Guarded<Args, Result> = {
  /** Runs the action, or throws Proof402Error with the code of the refusal. What the action throws is thrown again. */
  (args: Args, call: { receiptId: string; signal?: AbortSignal | undefined }): Promise<Result>;
  /** Asks the action's `settle` about each undecided one of its kind, and writes down what it finds. Runs none again. */
  settle(): Promise<ActionRecord[]>;
};

/**
 * Wraps a function so that it only runs with a verified receipt for its arguments. The receipt is of this buyer's purchase,
 * appraised again, recent, and bound to the arguments by `bind`. Its place on the purchase is claimed before anything is
 * done, durably and across processes: `claimed`, then `invoking` right before the call, then `done`, `failed` or
 * `undecided`. `bind` and function get one frozen value: the arguments, copied and read once.
 *
 * Throws Proof402Error `guard_options` and `guard_rules` for a requirement that would not guard, and `guard_tool` for a
 * function without a name.
 *
 * @example
 * ```ts
 * import { guard, openBuyer } from "proof402";
 *
 * const buyer = await openBuyer();
 * const sell = guard(
 *   { name: "sell", run: ({ amount }: { amount: string }, { idempotencyKey }) => `sold ${amount} as ${idempotencyKey}` },
 *   {
 *     buyer,
 *     assurance: "attested",
 *     maxAge: 60,
 *     bind: { rules: [
 *       { check: { answer: "/risk" }, atLeast: { value: 0.8 } },
 *       { check: { argument: "/amount" }, atMost: { value: "100.50" } },
 *     ] },
 *   },
 * );
 * await sell({ amount: "25" }, { receiptId: "p402_..." });
 * ```
 */
export function guard<Args extends Record<string, unknown>, Result>(
  action: Action<Args, Result> | ((args: Args, call: ActionCall) => Result | Promise<Result>),
  options: GuardOptions,
): Guarded<Args, Awaited<Result>> {
  const required = readRequirement(options);
  const held: Action<Args, Result> = typeof action === "function" ? { name: action.name, run: action } : { ...action };
  const { name, settle } = held;
  if (typeof name !== "string" || !/^\S.{0,127}$/u.test(name) || typeof held.run !== "function") {
    throw new Proof402Error("guard_tool", "The action has no function, or no name of 1 to 128 characters.", {
      next: "Give the guard { name, run }.",
    });
  }
  if (isGenerator(held)) {
    throw new Proof402Error("guard_tool", `The action "${name}" is a generator: calling it does nothing yet.`, {
      next: "Guard a function that has acted once it returns.",
    });
  }
  const tool: GuardedTool = {
    name,
    schema: { type: "object" },
    async read(args) {
      if (typeof args !== "object" || args === null || Array.isArray(args)) return null;
      if (held.read === undefined) return { value: args };
      try {
        return { value: await held.read(args) };
      } catch {
        return null;
      }
    },
    run: async (args, call) => held.run(args as Args, call),
    outcomeOf: (result) => result,
  };
  const guarded = async (
    args: Args,
    { receiptId, signal }: { receiptId: string; signal?: AbortSignal | undefined },
  ): Promise<Awaited<Result>> => {
    const outcome = await runOn(tool, required, () => ({ receiptId, args: fix(args) }), signal);
    if ("result" in outcome) return outcome.result as Awaited<Result>;
    const { code, message, next } = outcome.error;
    throw outcome.thrown ?? new Proof402Error(code, message, { next, money: "not-moved" });
  };
  return Object.assign(guarded, {
    settle: async () => (settle === undefined ? [] : settleActions(required.buyer, name, settle.bind(held))),
  });
}

const isGenerator = (action: object): boolean =>
  "run" in action && /^\[object (?:Async)?GeneratorFunction\]$/.test(Object.prototype.toString.call(action.run));
