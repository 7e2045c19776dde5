import { HTTPFacilitatorClient } from "@x402/core/server";
import { ExactEvmScheme } from "@x402/evm/exact/server";
import { paymentMiddleware, x402ResourceServer } from "@x402/hono";
import { Hono } from "hono";
import { serveLocally, type Served } from "../../src/devnet/index.ts";
import type { Market } from "../support/devnet.ts";

/** A seller that has only what x402's own Hono middleware gives it, and answers in the Open Inference Protocol. */
export async function stockSeller(
  { devnet }: Market,
  options: {
    /** Extensions of the offer, as x402's own helpers declare them. */
    extensions?: Record<string, unknown>;
    /** Looks at a paid request before it is answered; what it returns is the answer in place of the seller's own. */
    onPaid?: (request: Request) => Response | undefined;
  } = {},
): Promise<Served> {
  const network = `eip155:${devnet.chainId}` as const;
  const [asset] = devnet.config.payment.assets;
  if (asset === undefined) throw new Error("the devnet has an asset");
  const server = new x402ResourceServer(new HTTPFacilitatorClient({ url: devnet.facilitatorUrl })).register(
    network,
    new ExactEvmScheme(),
  );
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
  const price = { asset: devnet.token, amount: "2500", extra: { ...asset.domain } };
  app.use(
    paymentMiddleware(
      {
        "POST /v2/models/echo/infer": {
          accepts: { scheme: "exact", network, payTo: devnet.sellers.plain.payTo, price },
          ...(options.extensions === undefined ? {} : { extensions: options.extensions }),
        },
      },
      server,
    ),
  );
  app.post("/v2/models/echo/infer", async (c) => {
    const instead = options.onPaid?.(c.req.raw);
    if (instead !== undefined) return instead;
    const { id, inputs } = await c.req.json<{ id: string; inputs: { shape: number[]; data: number[] }[] }>();
    return c.json({ model_name: "echo", id, outputs: [{ ...inputs[0], name: "y" }] });
  });
  return serveLocally(app.fetch);
}

/** Makes `seller` the market's only one, under the configured name and payee of the devnet's plain seller. */
export const buyerFrom = (market: Market, seller: Served): ReturnType<Market["buyer"]> =>
  market.buyer((config) => {
    config.sellers = config.sellers.filter((one) => one.id === "plain");
    for (const one of config.sellers) one.origin = seller.origin;
  });
