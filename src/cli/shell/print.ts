import type { Command } from "commander";
import { VERSION } from "../../version.ts";
import { EXIT, print } from "../globals.ts";
import { bashScript } from "./bash.ts";
import { fishScript } from "./fish.ts";
import { manPage } from "./man.ts";
import { outlineOf, type CommandOutline } from "./outline.ts";
import { zshScript } from "./zsh.ts";

export const SHELLS = { bash: bashScript, zsh: zshScript, fish: fishScript } as const satisfies Record<
  string,
  (commands: readonly CommandOutline[]) => string
>;

/** Prints a completion script of the whole program. */
export const completion =
  (program: Command) =>
  (shell: keyof typeof SHELLS): Promise<number> => {
    print(SHELLS[shell](outlineOf(program)).trimEnd());
    return Promise.resolve(EXIT.ok);
  };

/** Prints the manual page. */
export const man = (program: Command) => (): Promise<number> => {
  print(manPage(outlineOf(program), VERSION).trimEnd());
  return Promise.resolve(EXIT.ok);
};
