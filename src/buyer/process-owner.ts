import { readFile } from "node:fs/promises";
import { threadId } from "node:worker_threads";
import { isDead, placeOfIds } from "./lease-owner.ts";

/**
 * Names this thread of this process: the process's place, its id and when it began, and the thread. The beginning tells it
 * from a later process of the same id, as far as the system says it (proc(5), `starttime`); empty where it does not. What a
 * thread is at, another thread of its process cannot see.
 */
export const thisProcess = (): Promise<string> => (named ??= nameThis());

let named: Promise<string> | undefined;
const nameThis = async (): Promise<string> =>
  `${placeOfIds}:${process.pid}:${(await seen(process.pid))?.start ?? ""}:${threadId}`;

/** Whether a named process runs. Null of another place's, which cannot be looked at from here. */
export async function isRunning(owner: string): Promise<boolean | null> {
  const [place, id, start = ""] = owner.split(":");
  if (place !== placeOfIds) return null;
  if (isDead(owner)) return false;
  const now = start === "" ? null : await seen(Number(id));
  return now === null || (now.start === start && now.state !== "Z");
}

/** State and start of a process as Linux tells them, else null. The name before them may hold anything but its end. */
async function seen(id: number): Promise<{ state: string; start: string } | null> {
  try {
    const text = await readFile(`/proc/${id}/stat`, "utf8");
    const fields = text.slice(text.lastIndexOf(")") + 2).split(" ");
    return { state: fields[0] ?? "", start: fields[19] ?? "" };
  } catch {
    return null;
  }
}
