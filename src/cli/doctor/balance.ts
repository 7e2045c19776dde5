import { moneyText } from "../../chain/money-text.ts";
import { formatUnits } from "../../chain/amounts.ts";
import { isUnread } from "../../chain/chain.ts";
import { METHODS } from "../../evidence/methods/methods.ts";
import { readHoldings } from "../../payment/allowance.ts";
import { assetProblem } from "../../payment/asset-check.ts";
import { PAYERS } from "../../payment/methods/methods.ts";
import { failure, problem, skipped, warning, well, type Check, type Found } from "./check.ts";
import { PATIENCE_SECONDS } from "./patience.ts";
import { smallestPrice } from "./offers.ts";
import type { AssetPolicy } from "../../payment/policy.ts";
import type { Surroundings } from "./surroundings.ts";

type Holding = { asset: AssetPolicy; balance: bigint; allowance: bigint; address: string };

/** What the wallet holds of each asset, beside its caps and the smallest listed price. */
export const balance: Check = {
  name: "balance",
  look: (around) =>
    eachAsset(around, around.config.payment.assets, async (held) => {
      const { asset, balance: holds, address } = held;
      const chain = around.chains.get(asset.network);
      const odd = chain === undefined ? null : await assetProblem(chain, asset, PATIENCE_SECONDS);
      if (odd !== null) return failure(subjectOf(asset), odd);
      const { perCall, perHour, perDay, total } = asset;
      const [call, hour, day, all] = [perCall, perHour, perDay, total].map((cap) => moneyText(cap, asset));
      const says = `The wallet holds ${moneyText(holds, asset)}; caps: ${call} a call, ${hour} an hour, ${day} a day, ${all} in all.`;
      const least = await smallestPrice(around, asset);
      if (least === null)
        return holds > 0n ? well(subjectOf(asset), says) : warning(subjectOf(asset), says, sendTo(asset, address));
      const beside = `${says} The smallest listed price is ${moneyText(least, asset)}.`;
      if (holds >= least) return well(subjectOf(asset), beside);
      // What is in a channel left the wallet when it was put in.
      return asset.methods.some((method) => METHODS[method].claimed)
        ? warning(subjectOf(asset), `${beside} Only an open channel can pay it.`, sendTo(asset, address))
        : problem(subjectOf(asset), beside, sendTo(asset, address));
    }),
};

/** What Permit2 may move of each asset paid through it. */
export const allowance: Check = {
  name: "allowance",
  look: (around) =>
    eachAsset(around, around.config.payment.assets.filter(paidByPermit), async (held) => {
      const { asset, allowance: may } = held;
      const least = await smallestPrice(around, asset);
      const needed = least ?? BigInt(asset.perCall);
      const says = `Permit2 may move ${moneyText(may, asset)}.`;
      if (may >= needed) return well(subjectOf(asset), says);
      const next = `Run proof402 wallet approve --asset ${asset.symbol} --amount ${formatUnits(needed, asset.decimals)} (or more, for further calls).`;
      return least !== null && asset.methods.every((method) => PAYERS[method].needsAllowance)
        ? problem(subjectOf(asset), `${says} Each payment of this asset needs it.`, next)
        : warning(subjectOf(asset), `${says} Offers paid that way are passed over.`, next);
    }),
};

const paidByPermit = ({ methods }: AssetPolicy): boolean => methods.some((method) => PAYERS[method].needsAllowance);

const subjectOf = ({ symbol, network }: AssetPolicy): string => `${symbol} on ${network}`;

const sendTo = (asset: AssetPolicy, address: string): string =>
  `Send ${asset.symbol} on ${asset.network} to ${address}.`;

/** A finding per asset. Where its chain does not answer, the line of its RPC says so. */
async function eachAsset(
  around: Surroundings,
  assets: readonly AssetPolicy[],
  judge: (held: Holding) => Promise<Found>,
): Promise<Found[]> {
  const wallet = await around.wallet().catch(() => null);
  return Promise.all(
    assets.map(async (asset) => {
      const chain = around.chains.get(asset.network);
      if (wallet === null || chain === undefined) return skipped(subjectOf(asset), "There is no wallet to look at.");
      try {
        await around.head(chain);
      } catch {
        return skipped(subjectOf(asset), "Its RPC gave no usable answer.");
      }
      try {
        const { address } = wallet;
        const held = await readHoldings(chain, asset.asset, address, { seconds: PATIENCE_SECONDS });
        return await judge({ asset, address, ...held });
      } catch (error) {
        return failure(subjectOf(asset), error, isUnread(error) ? "warning" : "problem");
      }
    }),
  );
}
