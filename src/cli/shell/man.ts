import { EXIT_MEANINGS } from "../globals.ts";
import type { CommandOutline } from "./outline.ts";

/** Variables that the command reads, with what each is for. */
const ENVIRONMENT = {
  PROOF402_CONFIG: "Path of the configuration file.",
  PROOF402_PRIVATE_KEY: "The wallet's private key, 0x and 64 hex digits, if no key file is configured.",
  NO_COLOR: "Prints no colours if it is set.",
} as const;

/** The manual page, in the macros of man(7). */
export function manPage(commands: readonly CommandOutline[], version: string): string {
  const [program, ...others] = commands;
  if (program === undefined) return "";
  return `${[
    `.TH PROOF402 1 "" "proof402 ${escaped(version)}" "User Commands"`,
    ".SH NAME",
    `proof402 \\- ${escaped(program.describes)}`,
    ".SH SYNOPSIS",
    ".B proof402",
    "[\\fIoptions\\fR] \\fIcommand\\fR",
    ".SH OPTIONS",
    ...optionsOf(program),
    ".SH COMMANDS",
    ...others.flatMap((command) => [
      ".SS",
      `\\fBproof402 ${escaped(command.path.join(" "))}\\fR ${escaped(command.usage)}`.trimEnd(),
      ...(command.describes === "" ? [] : [text(command.describes)]),
      ...optionsOf(command),
    ]),
    ".SH EXIT STATUS",
    ...EXIT_MEANINGS.flatMap(([code, meaning]) => [".TP", `.B ${code}`, text(meaning)]),
    ".SH ENVIRONMENT",
    ...Object.entries(ENVIRONMENT).flatMap(([name, meaning]) => [".TP", `.B ${name}`, text(meaning)]),
  ].join("\n")}\n`;
}

const optionsOf = ({ options }: CommandOutline): string[] =>
  options
    .filter(({ long }) => long !== "--help")
    .flatMap(({ flags, describes, takes }) => [
      ".TP",
      `.B ${escaped(flags)}`,
      text(takes?.kind === "choice" ? `${describes} (${takes.words.join(", ")})` : describes),
    ]);

/** A line of text: no control sign at its beginning. */
const text = (line: string): string => escaped(line).replace(/^(?=[.'])/, String.raw`\&`);

/** A backslash and a hyphen stand for themselves only when written so (groff_char(7)). */
const escaped = (words: string): string =>
  words
    .replaceAll("\\", String.raw`\e`)
    .replaceAll("-", String.raw`\-`)
    .replaceAll("\n", " ");
