import { readFile } from "node:fs/promises";
import { eventually } from "./eventually.ts";

/** The processes that a process started and that run a file of this name. */
export async function childrenOf(pid: number | undefined, name: string): Promise<string[]> {
  const children = (await readFile(`/proc/${pid}/task/${pid}/children`, "utf8")).split(" ").filter((one) => one !== "");
  const lines = await Promise.all(children.map((one) => readFile(`/proc/${one}/cmdline`, "utf8").catch(() => "")));
  return children.filter((_, at) => lines[at]?.includes(name));
}

/** Waits for the first of them. */
export const firstChildOf = (pid: number | undefined, name: string): Promise<string> =>
  eventually(async () => {
    const [found] = await childrenOf(pid, name);
    if (found === undefined) throw new Error("not started");
    return found;
  });

/** The fields of `proc(5)`'s stat after the name: state first. None where the process is gone. */
export const statOf = async (pid: string): Promise<string[]> =>
  (await readFile(`/proc/${pid}/stat`, "utf8").catch(() => "")).split(") ").at(-1)?.split(" ") ?? [];

/** One that ended may stand in the table until it is reaped. */
export const isRunning = async (pid: string): Promise<boolean> =>
  !["", "Z", undefined].includes((await statOf(pid))[0]);
