import { HTTPFacilitatorClient } from "@x402/core/server";
import { ExactEvmScheme } from "@x402/evm/exact/server";
import { UptoEvmScheme } from "@x402/evm/upto/server";
import { paymentMiddleware, setSettlementOverrides, x402ResourceServer } from "@x402/hono";
import { Hono } from "hono";
import { serveLocally, type Served } from "../../src/devnet/index.ts";
import type { PaymentMethod } from "../../src/evidence/methods/methods.ts";
import type { Market } from "../support/devnet.ts";

/** A seller that has only what x402's own Hono middleware gives it, and answers in the Open Inference Protocol. */
export async function stockSeller(
  { devnet }: Market,
  options: {
    /** Extensions of the offer, as x402's own helpers declare them. */
    extensions?: Record<string, unknown>;
    /** How it is paid where not by EIP-3009; `settles` is what it charges of an upto payment, base units. */
    permit2?: { scheme: "exact" } | { scheme: "upto"; settles: string };
    /** Looks at a paid request before it is answered; what it returns is the answer in place of the seller's own. */
    onPaid?: (request: Request) => Response | undefined;
  } = {},
): Promise<Served> {
  const network = `eip155:${devnet.chainId}` as const;
  const [asset] = devnet.config.payment.assets;
  if (asset === undefined) throw new Error("the devnet has an asset");
  const server = new x402ResourceServer(new HTTPFacilitatorClient({ url: devnet.facilitatorUrl }))
    .register(network, new ExactEvmScheme())
    .register(network, new UptoEvmScheme());
  const app = new Hono();
  app.get("/v1/catalog", (c) =>
    c.json({
      models: [
        {
          name: "echo",
          inputs: [{ name: "x", datatype: "FP32", shape: [-1, 2] }],
          outputs: [{ name: "y", datatype: "FP32", shape: [-1, 2] }],
        },
      ],
    }),
  );
  const { permit2 } = options;
  const method = permit2 === undefined ? {} : { assetTransferMethod: "permit2" };
  const price = { asset: devnet.token, amount: "2500", extra: { ...asset.domain, ...method } };
  app.use(
    paymentMiddleware(
      {
        "POST /v2/models/echo/infer": {
          accepts: { scheme: permit2?.scheme ?? "exact", network, payTo: devnet.sellers.unattested.payTo, price },
          ...(options.extensions === undefined ? {} : { extensions: options.extensions }),
        },
      },
      server,
    ),
  );
  app.post("/v2/models/echo/infer", async (c) => {
    const instead = options.onPaid?.(c.req.raw);
    if (instead !== undefined) return instead;
    if (permit2?.scheme === "upto") setSettlementOverrides(c, { amount: permit2.settles });
    const { id, inputs } = await c.req.json<{ id: string; inputs: { shape: number[]; data: number[] }[] }>();
    return c.json({ model_name: "echo", id, outputs: [{ ...inputs[0], name: "y" }] });
  });
  return serveLocally(app.fetch);
}

/** Makes `seller` the market's only one, under the configured name and payee of the devnet's unattested seller. */
export const buyerFrom = (
  market: Market,
  seller: Served,
  methods: readonly PaymentMethod[] = ["eip3009"],
): ReturnType<Market["buyer"]> =>
  market.buyer((config) => {
    for (const asset of config.payment.assets) asset.methods = [...methods];
    config.sellers = config.sellers.filter((one) => one.id === "unattested");
    for (const one of config.sellers) one.origin = seller.origin;
  });
