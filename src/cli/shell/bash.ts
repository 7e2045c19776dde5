import type { CommandOutline } from "./outline.ts";

/** Lines of a `case` over the command so far, and the words that lead to one. */
export const keyOf = ({ path }: Pick<CommandOutline, "path">): string => path.join(" ");

/** A completion script for bash, with all commands in it: no process starts when Tab is pressed. */
export const bashScript = (
  commands: readonly CommandOutline[],
): string => `# bash completion for proof402: proof402 completion bash
_proof402() {
  local current=\${COMP_WORDS[COMP_CWORD]} before=\${COMP_WORDS[COMP_CWORD - 1]} at= word i
  for ((i = 1; i < COMP_CWORD; i++)); do
    word="\${at:+$at }\${COMP_WORDS[i]}"
    case $word in
      ${alternatives(commands)}) at=$word ;;
    esac
  done
  COMPREPLY=()
  case "$at:$before" in
${values(commands).join("\n")}
  esac
  case $at in
${commands.map(lineOf).join("\n")}
  esac
}
complete -o bashdefault -o default -F _proof402 proof402
`;

/** Patterns of all commands but the program itself. */
export const alternatives = (commands: readonly CommandOutline[]): string =>
  commands
    .filter(({ path }) => path.length > 0)
    .map((command) => quote(keyOf(command)))
    .join(" | ");

/** After an option with a value: its words, or files, and nothing else. */
const values = (commands: readonly CommandOutline[]): string[] =>
  commands.flatMap((command) =>
    [...command.options, ...command.global].flatMap(({ long, short, takes }) => {
      if (takes === null) return [];
      const patterns = [long, ...(short === null ? [] : [short])].map((name) => quote(`${keyOf(command)}:${name}`));
      const reply =
        takes.kind === "choice"
          ? `COMPREPLY=($(compgen -W ${quote(takes.words.join(" "))} -- "$current")); `
          : takes.kind === "file"
            ? ""
            : "compopt +o default +o bashdefault 2>/dev/null; ";
      return [`    ${patterns.join(" | ")}) ${reply}return ;;`];
    }),
  );

function lineOf(command: CommandOutline): string {
  const { commands, options, global, argument } = command;
  const words = [
    ...commands.map(({ name }) => name),
    ...(argument?.kind === "choice" ? argument.words : []),
    ...[...options, ...global].map(({ long }) => long),
  ];
  return `    ${quote(keyOf(command))}) COMPREPLY=($(compgen -W ${quote(words.join(" "))} -- "$current")) ;;`;
}

/** In single quotes, which a POSIX shell reads as they are (POSIX.1-2017, Shell Command Language 2.2.2). */
export const quote = (text: string): string => `'${text.replaceAll("'", String.raw`'\''`)}'`;
