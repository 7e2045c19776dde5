import type { Chain } from "../../chain/chain.ts";
import { isUnread } from "../../chain/chain.ts";
import { METHODS } from "../../evidence/methods/methods.ts";
import { PAYERS } from "../../payment/methods/methods.ts";
import type { AssetPolicy } from "../../payment/policy.ts";
import { RPC_PLACEHOLDER } from "../../config/new-config.ts";
import { failure, problem, warning, well, type Check, type Found } from "./check.ts";
import type { Surroundings } from "./surroundings.ts";

/** A head older than this says little of the chain as it is now, seconds. */
const OLD_SECONDS = 600;

/** Every RPC of the configuration: it answers, and for the chain it is configured for. */
export const rpc: Check = {
  name: "rpc",
  look(around) {
    const asked = [...around.chains.values()].flatMap((chain) => [
      lookAt(around, chain.network, chain),
      ...(chain.witness === null ? [] : [lookAt(around, `${chain.network} (witness)`, chain.witness)]),
    ]);
    return Promise.all(asked);
  },
};

async function lookAt(around: Surroundings, subject: string, chain: Chain): Promise<Found> {
  if (around.config.networks.some(({ network, rpcUrl }) => network === chain.network && rpcUrl === RPC_PLACEHOLDER))
    return problem(
      subject,
      `No RPC is named yet: ${RPC_PLACEHOLDER} only keeps its place.`,
      `Put your RPC's address into networks of ${around.path}, in place of it.`,
    );
  try {
    const { number, time, readAt, latencyMs } = await around.head(chain);
    const age = Math.max(0, Math.round((readAt - time) / 1000));
    const says = `Answers in ${latencyMs} ms for this chain; its head ${number} is ${age} s old.`;
    return age > OLD_SECONDS
      ? warning(subject, says, "If this chain makes blocks steadily, this RPC lags: name another in networks.")
      : well(subject, says);
  } catch (error) {
    if (!isUnread(error)) return failure(subject, error);
    const needed = around.config.payment.assets.some((one) => one.network === chain.network && !paysUnseen(one));
    const { says, next } = failure(subject, error);
    return needed
      ? { subject, status: "problem", says, next }
      : warning(subject, `${says} Settlements stay pending until it answers.`, next ?? "");
  }
}

/** Whether an asset has a method that no look at its chain precedes. */
const paysUnseen = ({ methods }: AssetPolicy): boolean =>
  methods.some((method) => !PAYERS[method].needsAllowance && !METHODS[method].claimed);
