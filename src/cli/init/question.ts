import { Proof402Error } from "../../errors.ts";

/** Asks a person one thing. */
export type Asker = {
  text(message: string, options?: { initial?: string; check?: (value: string) => string | undefined }): Promise<string>;
  secret(message: string): Promise<string>;
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
  return {
    async text(message, { initial, check } = {}) {
      const given = initial === undefined ? {} : { placeholder: initial, defaultValue: initial };
      const validate = (value: string | undefined): string | undefined =>
        check?.((value ?? "") === "" ? (initial ?? "") : (value ?? ""));
      return answered(await prompts.text({ message, output, validate, ...given })).trim();
    },
    secret: async (message) => answered(await prompts.password({ message, output })),
    async choose(message, options) {
      const chosen = answered(await prompts.select<string>({ message, output, options: [...options] }));
      const known = options.find(({ value }) => value === chosen);
      if (known === undefined) throw new Error("a choice is one of those offered");
      return known.value;
    },
    agree: async (message) => answered(await prompts.confirm({ message, output, initialValue: true })),
  };
}
