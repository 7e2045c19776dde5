import type { Db } from "../../storage/database.ts";
import { isOnPostgres } from "../../storage/dialect.ts";
import { createFleetQueue } from "./fleet-queue.ts";
import { JOB_HANDLERS } from "./jobs/handlers.ts";
import { createQueue, type JobQueue } from "./queue.ts";

/** A buyer's queue, or a worker's: of a server's database that is the one of pg-boss. */
export const openQueue = async (
  db: Db,
  address: string,
  { worker = false }: { worker?: boolean | undefined },
): Promise<JobQueue> =>
  worker && isOnPostgres(db)
    ? createFleetQueue(
        db,
        address,
        JOB_HANDLERS.map(({ kind }) => kind),
      )
    : createQueue(db);
