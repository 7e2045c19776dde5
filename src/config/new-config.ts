import { Proof402Error } from "../errors.ts";
import { parseDollars, type AssetPolicy } from "../payment/policy.ts";
import type { ConfigInput } from "./schema.ts";

type Token = Pick<AssetPolicy, "asset" | "symbol" | "decimals" | "domain">;

/** A chain that a new configuration can be made for, and its dollar token as its issuer deployed it. */
export type Preset = { title: string; network: string; token: Token };

/** The public chains of {@link newConfig}. Addresses and domains of USDC are those that x402's own packages have. */
export const PRESETS = {
  base: {
    title: "Base",
    network: "eip155:8453",
    token: {
      asset: "0x833589fcd6edb6e08f4c7c32d4f71b54bda02913",
      symbol: "USDC",
      decimals: 6,
      domain: { name: "USD Coin", version: "2" },
    },
  },
  "base-sepolia": {
    title: "Base Sepolia (test money)",
    network: "eip155:84532",
    token: {
      asset: "0x036cbd53842c5426634e7929541ec2318f3dcf7e",
      symbol: "USDC",
      decimals: 6,
      domain: { name: "USDC", version: "2" },
    },
  },
} as const satisfies Record<string, Preset>;

/** Stands for an RPC that its owner has yet to name. No such host can exist (RFC 2606 §2). */
export const RPC_PLACEHOLDER = "https://put-your-rpc-here.invalid";

/** Bounds of spending in whole dollars, as a person writes them. */
export const CAPS = { perCall: "0.10", perHour: "1", perDay: "5", total: "20", approveAbove: "0.05" } as const;
export type Caps = Record<keyof typeof CAPS, string>;

/** A new configuration's own parts, as `proof402 init` asks for them. */
export type NewConfig = Pick<Preset, "network" | "token"> & {
  rpcUrl: string;
  wallet: NonNullable<ConfigInput["wallet"]>;
  caps: Caps;
  /** What a market on this machine needs besides. */
  also?: Pick<ConfigInput, "verification" | "http">;
};

/** A configuration without sellers. Throws Proof402Error `usage` for a cap that is no amount of dollars. */
export const newConfig = ({ network, token, rpcUrl, wallet, caps, also = {} }: NewConfig): ConfigInput => ({
  wallet,
  networks: [
    {
      network,
      rpcUrl,
      ...(also.http === undefined ? { confirmations: 2 } : { confirmations: 0, pollMilliseconds: 50 }),
    },
  ],
  payment: { assets: [{ network, ...token, usdStable: true, ...inBaseUnits(caps, token) }] },
  sellers: [],
  ...also,
});

function inBaseUnits(caps: Caps, { decimals }: Token): Caps {
  const units = (name: string, dollars: string): string => {
    const amount = parseDollars(dollars, decimals);
    if (amount !== null) return amount.toString();
    throw new Proof402Error("usage", `${name} is no amount of dollars.`, {
      next: `Give a decimal number with at most ${decimals} places, such as 0.05.`,
    });
  };
  return Object.fromEntries(Object.entries(caps).map(([name, dollars]) => [name, units(name, dollars)])) as Caps;
}
