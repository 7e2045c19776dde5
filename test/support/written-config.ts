/** One network, asset and seller, as an owner writes them into a configuration. */
export const network = "eip155:8453";
export const asset = {
  network,
  asset: `0x${"ab".repeat(20)}`,
  symbol: "USDC",
  decimals: 6,
  usdStable: true,
  domain: { name: "USD Coin", version: "2" },
  perCall: "10000",
  perHour: "100000",
  perDay: "500000",
  total: "1000000",
};
export const seller = {
  id: "honest",
  provider: "oip",
  origin: "https://seller.example",
  payTo: [`0x${"cd".repeat(20)}`],
  assurance: "attested",
};

/** A configuration as it is written, for a test to spoil. */
export type Written = Record<string, unknown> & {
  payment: { assets: Record<string, unknown>[]; formerAssets?: Record<string, unknown>[] };
  sellers: Record<string, unknown>[];
  networks: Record<string, unknown>[];
};

/** A good configuration that names no more than it must. */
export const writtenConfig = (): Written =>
  structuredClone({
    networks: [{ network, rpcUrl: "https://rpc.example" }],
    payment: { assets: [asset] },
    sellers: [seller],
  });
