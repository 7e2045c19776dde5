import { keyOf } from "./cases.ts";
import type { CommandOutline, OptionOutline } from "./outline.ts";

/** A completion script for fish. */
export const fishScript = (
  commands: readonly CommandOutline[],
): string => `# fish completion for proof402: proof402 completion fish
function __proof402_at --argument-names wanted
    set -l at
    for word in (commandline -xpc 2>/dev/null; or commandline -opc)[2..]
        set -l next (string join -- ' ' $at $word)
        contains -- $next ${commands.flatMap((one) => (one.path.length === 0 ? [] : [quote(keyOf(one))])).join(" ")}
        and set at $next
    end
    test "$at" = "$wanted"
end
complete -c proof402 -e
${commands.flatMap(linesOf).join("\n")}
`;

function linesOf(command: CommandOutline): string[] {
  const { commands, options, global, argument } = command;
  const at = `complete -c proof402 -n ${quote(`__proof402_at ${quote(keyOf(command))}`)}`;
  const takesFiles = argument?.kind === "file";
  return [
    ...(takesFiles ? [] : [`${at} -f`]),
    ...commands.map(({ name, describes }) => `${at} -a ${quote(name)} -d ${quote(describes)}`),
    ...(argument?.kind === "choice" ? [`${at} -a ${quote(argument.words.join(" "))}`] : []),
    ...[...options, ...global].map((option) => `${at} ${optionOf(option)}`),
  ];
}

function optionOf({ long, short, describes, takes }: OptionOutline): string {
  const names = [`-l ${long.replace(/^-+/, "")}`, ...(short === null ? [] : [`-s ${short.replace(/^-/, "")}`])];
  const value =
    takes === null
      ? []
      : takes.kind === "choice"
        ? [`-x -a ${quote(takes.words.join(" "))}`]
        : [takes.kind === "file" ? "-r -F" : "-x"];
  return [...names, ...value, `-d ${quote(describes)}`].join(" ");
}

/** In single quotes; fish reads a backslash before another or before a quote (fish, Quotes). */
const quote = (text: string): string => `'${text.replaceAll("\\", String.raw`\\`).replaceAll("'", String.raw`\'`)}'`;
