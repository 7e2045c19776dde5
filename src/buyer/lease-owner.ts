import { randomUUID } from "node:crypto";
import { readFileSync, readlinkSync } from "node:fs";
import { hostname } from "node:os";

/**
 * Names where process ids mean the same as here: the machine, its start and its space of ids (pid_namespaces(7)), as far as the
 * system tells them. Containers of one host name have ids of their own, and must not take each other's processes for dead.
 */
export const placeOfIds: string = [
  hostname(),
  told(() => readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim()),
  told(() => readlinkSync("/proc/self/ns/pid").replace(/\D+/g, "")),
].join("/");

function told(read: () => string): string {
  try {
    return read();
  } catch {
    return "";
  }
}

/** Names the holder of a lease: the place, this process, and the lease's number. */
export const newOwner = (): string => `${placeOfIds}:${process.pid}:${randomUUID()}`;

/** A process of this place that is gone. Of another's process, or one whose id was given out again, the lease decides. */
export function isDead(owner: string): boolean {
  const [place, pid] = owner.split(":");
  if (place !== placeOfIds || pid === undefined) return false;
  try {
    process.kill(Number(pid), 0);
    return false;
  } catch (error) {
    return error instanceof Error && "code" in error && error.code === "ESRCH";
  }
}
