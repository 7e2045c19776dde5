import { randomUUID } from "node:crypto";
import { hostname } from "node:os";

/** Names the holder of a lease: this machine, this process, and the lease's number. */
export const newOwner = (): string => `${hostname()}:${process.pid}:${randomUUID()}`;

/** A process of this machine that is gone. Of another's process, or one whose id was given out again, the lease decides. */
export function isDead(owner: string): boolean {
  const [host, pid] = owner.split(":");
  if (host !== hostname() || pid === undefined) return false;
  try {
    process.kill(Number(pid), 0);
    return false;
  } catch (error) {
    return error instanceof Error && "code" in error && error.code === "ESRCH";
  }
}
