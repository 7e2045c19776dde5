import type { CommandOutline, Takes } from "./outline.ts";

/** The words that lead to a command, as a script's `case` over the words so far names it. */
export const keyOf = ({ path }: Pick<CommandOutline, "path">): string => path.join(" ");

/** Patterns of all commands but the program itself. */
export const alternatives = (commands: readonly CommandOutline[]): string =>
  commands
    .filter(({ path }) => path.length > 0)
    .map((command) => quote(keyOf(command)))
    .join(" | ");

/** Lines of a `case` over command and option before the word: what may follow each option with a value. */
export const valueCases = (commands: readonly CommandOutline[], replyTo: (takes: Takes) => string): string =>
  commands
    .flatMap((command) =>
      [...command.options, ...command.global].flatMap(({ long, short, takes }) => {
        if (takes === null) return [];
        const patterns = [long, ...(short === null ? [] : [short])].map((name) => quote(`${keyOf(command)}:${name}`));
        return [`    ${patterns.join(" | ")}) ${replyTo(takes)}return ;;`];
      }),
    )
    .join("\n");

/** In single quotes, which a POSIX shell reads as they are (POSIX.1-2017, Shell Command Language 2.2.2). */
export const quote = (text: string): string => `'${text.replaceAll("'", String.raw`'\''`)}'`;
