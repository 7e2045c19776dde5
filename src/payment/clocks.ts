import { Proof402Error } from "../errors.ts";

/** How far a chain's newest block may be ahead of our clock before one of them is wrong, seconds. */
export const AHEAD_SECONDS = 900;

/**
 * Our clock and the chain's are so far apart that nothing may be signed by them. Times in unix seconds. `seconded`: the
 * seller's attestation showed our time, so it is the chain's that is wrong.
 */
export function clocksDisagree(
  ours: number,
  chainTime: number,
  consequence: string,
  { seconded = false }: { seconded?: boolean } = {},
): Proof402Error {
  const ahead = ours - chainTime;
  return new Proof402Error(
    "clock_disagrees",
    `This machine's clock is ${Math.abs(ahead)} s ${ahead > 0 ? "ahead of" : "behind"} the chain's: ${consequence}.`,
    {
      next: seconded
        ? "Nothing was signed. The seller's attestation agrees with this machine's clock: the chain's is wrong, or its RPC's. Try again once the chain has caught up, or have the owner look at the RPC of this network."
        : "Nothing was signed. Set this machine's clock; where it is right, the RPC of this network is not.",
      details: { ourTime: ours, chainTime },
    },
  );
}
