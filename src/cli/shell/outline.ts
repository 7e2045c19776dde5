import type { Command, Option } from "commander";

/** What follows an option or stands as an argument: a path, one of a few words, or any text. */
export type Takes = { kind: "file" } | { kind: "choice"; words: readonly string[] } | { kind: "text" };

/** An option as a person types it. `takes` is null if nothing follows it. */
export type OptionOutline = {
  long: string;
  short: string | null;
  /** Both names and the value, as the help shows them. */
  flags: string;
  describes: string;
  takes: Takes | null;
};

/** One command with what can follow it. `path` are its words after `proof402`; of the program itself it is empty. */
export type CommandOutline = {
  path: readonly string[];
  /** The arguments as the help shows them. */
  usage: string;
  describes: string;
  /** Null without an argument. */
  argument: Takes | null;
  options: readonly OptionOutline[];
  /** The program's options, which each of its commands takes, too. */
  global: readonly OptionOutline[];
  commands: readonly { name: string; describes: string }[];
};

/** Options of the program alone; each command has its own `--help`. */
const OF_THE_PROGRAM: ReadonlySet<string> = new Set(["--version", "--help"]);

/** Lists the program and all its commands, each before its own. */
export const outlineOf = (program: Command): CommandOutline[] => listed(program, [], []);

function listed(command: Command, path: readonly string[], global: readonly OptionOutline[]): CommandOutline[] {
  const parts = command.createHelp().visibleCommands(command);
  const [argument] = command.registeredArguments;
  const own: CommandOutline = {
    path,
    usage: command.registeredArguments
      .map((one) => (one.required ? `<${one.name()}>` : `[${one.name()}]`) + (one.variadic ? "..." : ""))
      .join(" "),
    describes: command.description(),
    argument: argument === undefined ? null : takes(argument.name(), argument.argChoices),
    options: command.createHelp().visibleOptions(command).map(optionOf),
    global,
    commands: parts.map((part) => ({ name: part.name(), describes: part.description() })),
  };
  const given = path.length === 0 ? own.options.filter(({ long }) => !OF_THE_PROGRAM.has(long)) : global;
  // Commander's own `help` command has no action to describe.
  return [
    own,
    ...parts.filter((part) => part.name() !== "help").flatMap((part) => listed(part, [...path, part.name()], given)),
  ];
}

const optionOf = ({ long, short, flags, description, required, optional, argChoices }: Option): OptionOutline => ({
  long: long ?? short ?? flags,
  short: short ?? null,
  flags,
  describes: description,
  takes: required || optional ? takes(flags, argChoices) : null,
});

const takes = (name: string, choices: readonly string[] | undefined): Takes => {
  if (choices !== undefined) return { kind: "choice", words: choices };
  return /file|director|folder|path/i.test(name) ? { kind: "file" } : { kind: "text" };
};
