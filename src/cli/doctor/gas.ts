import { METHODS } from "../../evidence/methods/methods.ts";
import { formatCoins } from "../../chain/owner/fees.ts";
import { PAYERS } from "../../payment/methods/methods.ts";
import { attempt, skipped, warning, well, type Check } from "./check.ts";
import { PATIENCE_SECONDS } from "./patience.ts";

/** The chain's own coin, where the owner's commands for a method cost gas. */
export const gas: Check = {
  name: "gas",
  async look(around) {
    const { config, chains } = around;
    const own = await around.wallet().catch(() => null);
    const needing = config.payment.assets.filter(({ methods }) =>
      methods.some((method) => PAYERS[method].needsAllowance || METHODS[method].claimed),
    );
    const networks = [...new Set(needing.map(({ network }) => network))];
    return Promise.all(
      networks.map(async (network) => {
        const chain = chains.get(network);
        if (own === null || chain === undefined) return skipped(network, "There is no wallet to look at.");
        const read = await around.head(chain).catch(() => null);
        if (read === null) return skipped(network, "Its RPC gave no usable answer.");
        return attempt(network, async () => {
          const wei = await chain.read((client) => client.getBalance(own.address), { seconds: PATIENCE_SECONDS });
          const says = `The wallet holds ${formatCoins(wei)} of the chain's own coin.`;
          if (wei > 0n) return well(network, says);
          return warning(
            network,
            says,
            `proof402 wallet approve and proof402 channel open cost gas: send some of that coin to ${own.address}.`,
          );
        });
      }),
    );
  },
};
