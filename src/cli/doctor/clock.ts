import type { Seller } from "../../market/types.ts";
import { AHEAD_SECONDS } from "../../payment/clocks.ts";
import { problem, skipped, warning, well, type Check } from "./check.ts";
import { PATIENCE_SECONDS } from "./patience.ts";
import type { Surroundings } from "./surroundings.ts";

/** More than the second that a Date header is rounded by. */
const ROUNDING_SECONDS = 2;
const MAX_BYTES = 65_536;

/** This machine's clock beside the newest blocks and the sellers' Date headers. */
export const clock: Check = {
  name: "clock",
  async look(around) {
    const [blocks, dates] = await Promise.all([
      Promise.all([...around.chains.values()].map((chain) => around.head(chain).catch(() => null))),
      Promise.all(around.config.sellers.map((seller) => aheadOf(around, seller))),
    ]);
    // A block may be old, and none is made in the future.
    const early = blocks.flatMap((head) => (head === null ? [] : [Math.round((head.time - head.readAt) / 1000)]));
    const behindChain = Math.max(0, ...early);
    const toSet = "Set this machine's clock, by NTP if it can be.";
    if (behindChain > AHEAD_SECONDS)
      return [problem("", `This machine's clock is ${behindChain} s behind a chain's newest block.`, toSet)];
    const known = dates.filter((one) => one !== null);
    if (early.length + known.length === 0) return [skipped("", "No chain and no seller told the time.")];
    const allowed = around.config.verification.clockSkewSeconds + ROUNDING_SECONDS;
    const off = known.filter(({ seconds }) => Math.abs(seconds) > allowed);
    const [first] = off;
    if (first === undefined)
      return [well("", `This machine's clock agrees with its chains (${early.length}) and sellers (${known.length}).`)];
    const says = `This machine's clock differs from that of ${off.map(({ id, seconds }) => `${id} by ${seconds} s`).join(", ")}; ${allowed} s are allowed.`;
    return [
      off.length * 2 > known.length
        ? problem("", says, toSet)
        : warning("", says, "If this machine's clock is right, theirs is wrong: buy from others."),
    ];
  },
};

/** How far this machine's clock is ahead of a seller's Date header, or null without one. Any answer serves. */
async function aheadOf(around: Surroundings, { id, origin }: Seller): Promise<{ id: string; seconds: number } | null> {
  if (origin === undefined) return null;
  try {
    const { headers } = await around.market.http.request({
      method: "GET",
      url: `${origin}/`,
      maxBytes: MAX_BYTES,
      totalMs: PATIENCE_SECONDS * 1000,
    });
    const theirs = Date.parse(headers["date"] ?? "");
    return Number.isNaN(theirs) ? null : { id, seconds: Math.round((Date.now() - theirs) / 1000) };
  } catch {
    return null;
  }
}
