import { Proof402Error } from "../../errors.ts";

/** Names the fault of an answer, or nothing. */
export type Judge = (value: string) => string | undefined | Promise<string | undefined>;

/** Asks a person one thing. An answer with a fault is asked for again in its place. */
export type Asker = {
  text(message: string, options?: { initial?: string; check?: Judge }): Promise<string>;
  secret(message: string, check: Judge): Promise<string>;
  choose<Value extends string>(message: string, options: readonly { value: Value; label: string }[]): Promise<Value>;
  agree(message: string): Promise<boolean>;
};

/** Asks at the terminal, on stderr. What the person breaks off throws Proof402Error `aborted`. */
export async function openAsker(): Promise<Asker> {
  const prompts = await import("@clack/prompts");
  const output = process.stderr;
  const answered = <T>(answer: T): Exclude<T, symbol> => {
    if (!prompts.isCancel(answer)) return answer as Exclude<T, symbol>;
    throw new Proof402Error("aborted", "Nothing was written.", { next: "Run the command again to be asked again." });
  };
  const askUntil = async (ask: () => Promise<string>, check: Judge = () => undefined): Promise<string> => {
    for (;;) {
      const value = await ask();
      const fault = await check(value);
      if (fault === undefined) return value;
      prompts.log.error(fault, { output });
    }
  };
  return {
    text(message, { initial, check } = {}) {
      const given = initial === undefined ? {} : { placeholder: initial, defaultValue: initial };
      return askUntil(async () => answered(await prompts.text({ message, output, ...given })).trim(), check);
    },
    secret: (message, check) => askUntil(async () => answered(await prompts.password({ message, output })), check),
    async choose(message, options) {
      const chosen = answered(await prompts.select<string>({ message, output, options: [...options] }));
      const known = options.find(({ value }) => value === chosen);
      if (known === undefined) throw new Error("a choice is one of those offered");
      return known.value;
    },
    agree: async (message) => answered(await prompts.confirm({ message, output, initialValue: true })),
  };
}
