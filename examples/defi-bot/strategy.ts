import type { Limits } from "./settings.ts";

/** An order before its price: exact ETH, in wei. */
export type Wish = { side: "buy" | "sell"; eth: bigint };

/** Class 0 is low risk, 1 medium, 2 high. Null means hold: by the class, or because a limit leaves no room. */
export function wishFor(riskClass: number, position: bigint, { stepEth, positionEth }: Limits): Wish | null {
  const room = positionEth - position;
  const [side, most] = riskClass === 0 ? (["buy", room] as const) : (["sell", position] as const);
  const eth = most < stepEth ? most : stepEth;
  return (riskClass === 0 || riskClass === 2) && eth > 0n ? { side, eth } : null;
}

/** The evidence that a round needs, by the largest position that it could lead to. */
export const assuranceFor = (position: bigint, { stepEth, provenAboveEth }: Limits): "attested" | "proven" =>
  position + stepEth > provenAboveEth ? "proven" : "attested";

/** The class in an `eth-risk` answer, or -1. */
export function classOf(answer: Record<string, unknown>): number {
  const found = [answer["class"]].flat()[0];
  return found === 0 || found === 1 || found === 2 ? found : -1;
}
