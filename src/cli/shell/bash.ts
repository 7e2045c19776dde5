import { alternatives, keyOf, quote, valueCases } from "./cases.ts";
import type { CommandOutline, Takes } from "./outline.ts";

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
${valueCases(commands, replyTo)}
  esac
  case $at in
${commands.map(lineOf).join("\n")}
  esac
}
complete -o bashdefault -o default -F _proof402 proof402
`;

/** After an option with a value: its words, or files, and nothing else. */
const replyTo = (takes: Takes): string =>
  takes.kind === "choice"
    ? `COMPREPLY=($(compgen -W ${quote(takes.words.join(" "))} -- "$current")); `
    : takes.kind === "file"
      ? ""
      : "compopt +o default +o bashdefault 2>/dev/null; ";

function lineOf(command: CommandOutline): string {
  const { commands, options, global, argument } = command;
  const words = [
    ...commands.map(({ name }) => name),
    ...(argument?.kind === "choice" ? argument.words : []),
    ...[...options, ...global].map(({ long }) => long),
  ];
  return `    ${quote(keyOf(command))}) COMPREPLY=($(compgen -W ${quote(words.join(" "))} -- "$current")) ;;`;
}
