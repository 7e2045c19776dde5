import { inclusionJob } from "./inclusion.ts";
import { proofJob } from "./proof.ts";
import { replayJob } from "./replay.ts";
import { settlementJob } from "./settlement.ts";
import type { BuyerContext } from "../../context.ts";
import type { JobHandler } from "./types.ts";

/** Every kind of evidence that the second clock waits for. */
export const JOB_HANDLERS: readonly JobHandler<BuyerContext>[] = [settlementJob, inclusionJob, proofJob, replayJob];
