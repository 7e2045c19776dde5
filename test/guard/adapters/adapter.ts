import type { GuardOptions } from "../../../src/guard/requirement.ts";
import type { Pair } from "../schemas.ts";

/** An action as each framework is given it: `run` notes what it was called with. */
export type Acting = { name: string; schema: Pair["schema"]; run: (args: unknown) => unknown };

/** How a guarded action is called: by code, by a model, and by what a framework does with a model's calls. */
export type Ways = Readonly<Record<string, (args: Record<string, unknown>) => Promise<unknown>>>;

/**
 * One framework's guard, as the bypass suite drives it. A new adapter is a file beside this one and a line in
 * `bypass.test.ts`.
 */
export type GuardAdapter = {
  name: string;
  /** False if arguments cross a wire: the action then gets what was judged, though not the same object. */
  inProcess: boolean;
  /** A guarded action, called in each of its ways; null if the framework takes no such schema. A way may reject: it refused. */
  make(acting: Acting, options: GuardOptions): Promise<Ways | null> | Ways | null;
};

/** The arguments as a model writes them. */
export const written = (args: Record<string, unknown>): string => JSON.stringify(args);
