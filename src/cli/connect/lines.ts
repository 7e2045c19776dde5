/** What a client's file gets: lines of its own, or an item of a list. */
export type Addition =
  | { kind: "lines"; keys: readonly string[]; lines: readonly string[] }
  | { kind: "item"; list: string; lines: readonly string[]; head?: readonly string[] };

const BEGIN = "# proof402 begin";
const END = "# proof402 end";
const NEW_FILE = `${BEGIN} (new file)`;
/** Stands before lines that the new ones take the place of. */
const KEPT = "# proof402 kept: ";

/** The text of a file with an addition, or null for one whose list is written in another way. Null text is no file. */
export function withAddition(text: string | null, addition: Addition): string | null {
  if (text === null) return `${[NEW_FILE, ...listed(addition, true), END].join("\n")}\n`;
  const bare = withoutAddition(text) ?? text;
  return addition.kind === "lines" ? withLines(bare, addition) : withItem(bare, addition);
}

/** The text of a file as it was before its addition, or null for one without. Empty for a file that was not there. */
export function withoutAddition(text: string): string | null {
  const lines = text.split("\n");
  const begin = lines.findIndex((line) => line.trim().startsWith(BEGIN));
  const end = lines.findIndex((line, at) => at > begin && line.trim() === END);
  if (begin === -1 || end === -1) return null;
  const rest = [...lines.slice(0, begin), ...lines.slice(end + 1)];
  if (lines[begin] === NEW_FILE && rest.every((line) => line === "")) return "";
  return rest.map((line) => (line.startsWith(KEPT) ? line.slice(KEPT.length) : line)).join("\n");
}

/** Adds lines at the end. Lines with the same keys stay as comments. */
function withLines(text: string, { keys, lines }: Extract<Addition, { kind: "lines" }>): string {
  const isReplaced = (line: string): boolean => keys.some((key) => new RegExp(`^(?:export +)?${key} *[:=]`).test(line));
  const kept = text.split("\n").map((line) => (isReplaced(line) ? `${KEPT}${line}` : line));
  if (kept.at(-1) === "") kept.pop();
  return `${[...kept, BEGIN, ...lines, END].join("\n")}\n`;
}

/** Adds an item before the first of its list. A list in flow style (`[...]`) is for a person to change. */
function withItem(text: string, addition: Extract<Addition, { kind: "item" }>): string | null {
  const lines = text.split("\n");
  const named = lines.findIndex((line) => line.startsWith(`${addition.list}:`));
  if (named === -1) {
    if (lines.at(-1) === "") lines.pop();
    return `${[...lines, BEGIN, ...listed(addition, false), END].join("\n")}\n`;
  }
  if (!/^[^:]*:\s*(?:#.*)?$/.test(lines[named] ?? "")) return null;
  const item = lines.slice(named + 1).find((line) => line.trim() !== "" && !line.trim().startsWith("#"));
  const indent = /^( *)- /.exec(item ?? "")?.[1];
  // A list that is empty, or of another form than items with a dash.
  if (indent === undefined) return null;
  const added = [BEGIN, ...addition.lines, END].map((line) => `${indent}${line}`);
  return [...lines.slice(0, named + 1), ...added, ...lines.slice(named + 1)].join("\n");
}

/** `head` is what a file of this kind begins with. */
const listed = (addition: Addition, isNew: boolean): string[] =>
  addition.kind === "lines"
    ? [...addition.lines]
    : [...(isNew ? (addition.head ?? []) : []), `${addition.list}:`, ...addition.lines.map((line) => `  ${line}`)];

/** The lines that differ, each with its sign. */
export function difference(before: string, after: string): string[] {
  const [old, now] = [before, after].map((text) => (text === "" ? [] : text.replace(/\n$/, "").split("\n"))) as [
    string[],
    string[],
  ];
  let same = 0;
  while (same < old.length && same < now.length && old[same] === now[same]) same += 1;
  let end = 0;
  const most = Math.min(old.length, now.length) - same;
  while (end < most && old.at(-1 - end) === now.at(-1 - end)) end += 1;
  return [
    ...old.slice(same, old.length - end).map((line) => `- ${line}`),
    ...now.slice(same, now.length - end).map((line) => `+ ${line}`),
  ];
}
