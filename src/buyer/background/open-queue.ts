import type { Config } from "../../config/schema.ts";
import { newestAppraisal, wantedAssurance } from "../../receipts/newest.ts";
import type { Receipt } from "../../receipts/schema.ts";
import type { Db } from "../../storage/database.ts";
import { isOnPostgres } from "../../storage/dialect.ts";
import { policyHash } from "../../verify/policy.ts";
import { appraisalPolicyOf } from "../context.ts";
import { createFleetQueue } from "./fleet-queue.ts";
import { JOB_HANDLERS } from "./jobs/handlers.ts";
import { createQueue, type JobQueue } from "./queue.ts";

/** A buyer's queue, or a worker's: of a server's database that is the one of pg-boss. */
export const openQueue = async (
  db: Db,
  config: Config,
  { worker = false }: { worker?: boolean | undefined },
): Promise<JobQueue> =>
  worker && isOnPostgres(db)
    ? createFleetQueue(db, config.database, {
        kinds: JOB_HANDLERS.map(({ kind }) => kind),
        judgesAlike: judgesAlike(config),
      })
    : createQueue(db);

/** Whether the policy of a receipt's newest verdict is this configuration's: another one may know other sellers and pins. */
function judgesAlike(config: Config): (receipt: Receipt) => boolean {
  const hashes = new Map<string, string>();
  return (receipt) => {
    const wanted = wantedAssurance(receipt, config.verification.assurance);
    const own = hashes.get(wanted) ?? policyHash(appraisalPolicyOf(config, wanted));
    hashes.set(wanted, own);
    return newestAppraisal(receipt).policyHash === own;
  };
}
