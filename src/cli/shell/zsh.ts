import { alternatives, keyOf, quote, valueCases } from "./cases.ts";
import type { CommandOutline, Takes } from "./outline.ts";

/** A completion script for zsh: to be sourced, or saved as `_proof402` in a folder of `fpath`. */
export const zshScript = (commands: readonly CommandOutline[]): string => `#compdef proof402
_proof402() {
  local at= word next
  local -a items
  for word in "\${(@)words[2,CURRENT-1]}"; do
    next="\${at:+$at }$word"
    case $next in
      ${alternatives(commands)}) at=$next ;;
    esac
  done
  case "$at:\${words[CURRENT-1]}" in
${valueCases(commands, replyTo)}
  esac
  case $at in
${commands.map(lineOf).join("\n")}
  esac
}
if [ "\${funcstack[1]}" = _proof402 ]; then _proof402 "$@"; else compdef _proof402 proof402; fi
`;

const replyTo = (takes: Takes): string =>
  takes.kind === "choice"
    ? `items=(${takes.words.map(quote).join(" ")}); _describe value items; `
    : takes.kind === "file"
      ? "_files; "
      : "";

function lineOf(command: CommandOutline): string {
  const { commands, options, global, argument } = command;
  const items = [
    ...commands.map(({ name, describes }) => described(name, describes)),
    ...(argument?.kind === "choice" ? argument.words.map((word) => quote(word)) : []),
  ];
  const flags = [...options, ...global].map(({ long, describes }) => described(long, describes));
  const files = argument?.kind === "file" ? "; _files" : "";
  return `    ${quote(keyOf(command))}) items=(${flags.join(" ")}); [[ \${words[CURRENT]} == -* ]] || items=(${items.join(" ")}); _describe command items${files} ;;`;
}

/** \`word:what it means\`, as \`_describe\` takes it: a colon in the word has a backslash before it. */
const described = (word: string, means: string): string => quote(`${word.replaceAll(":", String.raw`\:`)}:${means}`);
