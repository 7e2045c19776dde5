import { stat } from "node:fs/promises";
import { dirname } from "node:path";
import { configPath, loadConfig } from "../../config/load.ts";
import type { Config } from "../../config/schema.ts";
import { failure, skipped, warning, well, type Check, type Finding, type Found } from "./check.ts";
import { CHECKS } from "./checks.ts";
import { surroundingsOf } from "./surroundings.ts";

/** Longest that a check is waited for: its questions to RPCs and sellers are bounded, and follow each other at most thrice. */
const CHECK_SECONDS = 30;

/** How an examination is told of as it goes. */
export type Told = {
  /** Findings in the order of the table, as early as that order lets. */
  found: (finding: Finding) => void;
  /** Names of the checks under way; called again each time it changes. */
  waiting: (names: readonly string[]) => void;
  env: Readonly<Record<string, string | undefined>>;
};

/** Runs every check, all at once. Signs, spends and changes nothing, and throws for nothing that a check meets. */
export async function examine(given: string | undefined, told: Told): Promise<void> {
  const path = configPath(given);
  const read = await loadConfig({ path }).then(
    (config): { config: Config } => ({ config }),
    (error: unknown) => ({ error }),
  );
  const tell = (check: string, found: readonly Found[]): void => {
    for (const one of found) told.found({ check, ...one });
  };
  if ("error" in read) {
    tell("configuration", [failure(path, read.error)]);
    for (const { name } of CHECKS) tell(name, [skipped("", "It needs a valid configuration.")]);
    return;
  }
  tell("configuration", [await rightsOf(path)]);
  const around = surroundingsOf(path, read.config, told.env);
  try {
    const open = new Set(CHECKS.map(({ name }) => name));
    told.waiting([...open]);
    const begun = CHECKS.map((check) => ({
      name: check.name,
      found: inTime(check, () => check.look(around)).then((found) => {
        open.delete(check.name);
        told.waiting([...open]);
        return found;
      }),
    }));
    for (const { name, found } of begun) {
      const lines = await found;
      tell(name, lines.length === 0 ? [skipped("", "Nothing in this configuration needs it.")] : lines);
    }
  } finally {
    await around.close();
  }
}

/** Says who may change a valid configuration. A group with the right to write to its folder can replace it. */
async function rightsOf(path: string): Promise<Found> {
  const folder = dirname(path);
  const { mode } = await stat(folder);
  const isShared = process.platform !== "win32" && (mode & 0o020) !== 0 && (mode & 0o1000) === 0;
  return isShared
    ? warning(
        path,
        `It is valid, but the group of ${folder} may write to that folder, and so replace it.`,
        `If others are in that group, run chmod g-w ${folder}.`,
      )
    : well(path, "It is valid, and its owner alone may write to it.");
}

/** A check's findings; its error, or its taking too long, is one as well. */
async function inTime({ name }: Check, look: () => Promise<Found[]>): Promise<Found[]> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<Found[]>((resolve) => {
    const slow = warning(
      "",
      `This check took longer than ${CHECK_SECONDS} s.`,
      `Run proof402 doctor again; ${name} was not checked.`,
    );
    timer = setTimeout(() => resolve([slow]), CHECK_SECONDS * 1000);
  });
  try {
    return await Promise.race([Promise.resolve().then(look), late]);
  } catch (error) {
    return [failure("", error)];
  } finally {
    clearTimeout(timer);
  }
}
