import { createWalletClient, http, nonceManager, type Address, type Hex } from "viem";
import { generatePrivateKey, privateKeyToAccount } from "viem/accounts";
import { foundry } from "viem/chains";
import { openBuyer } from "../../src/buyer/open.ts";
import type { Buyer, BuyOptions, BuyRequest, BuyResult } from "../../src/buyer/types.ts";
import type { Config } from "../../src/config/schema.ts";
import { devUsd } from "../../src/devnet/contracts/dev-usd.artifact.ts";
import { serveLocally, type Served } from "../../src/devnet/index.ts";
import { walletFromPrivateKey } from "../../src/payment/wallet.ts";
import { openDatabase, type Db } from "../../src/storage/database.ts";
import { ETH_FEATURES, openMarket, type Market } from "../support/devnet.ts";
import { buyWith } from "../support/buy.ts";

/** What the honest seller asks for one inference, base units. */
export const PRICE = 10_000n;
/** What a victim's wallet holds at the start, base units. */
export const FUNDS = 1_000_000n;

/** A request as the hostile seller received it. */
export type Seen = { method: string; path: string; headers: Record<string, string>; body: string };
/** x402's payment with an EIP-3009 authorization in it. */
export type SeenPayment = {
  accepted: Record<string, unknown>;
  payload: {
    signature: Hex;
    authorization: {
      from: Address;
      to: Address;
      value: string;
      validAfter: string;
      validBefore: string;
      nonce: Hex;
    };
  };
};

/**
 * How a seller cheats: it answers each request itself, or hands it to the honest node behind it. Both see the request's
 * body already read.
 */
export type Trick = (request: Seen, honest: () => Promise<Response>) => Response | Promise<Response>;

/** One victim of one trick. */
export type Attack = {
  buyer: Buyer;
  payer: Address;
  key: Hex;
  origin: string;
  /** Everything the seller was sent, in order. */
  seen: Seen[];
  /** The payments among it, each signed authorization once. */
  payments(): SeenPayment[];
  config: Config;
  /** Another buyer on the same database, as a process started later would be: under a changed configuration, or with another key. */
  reopen(change?: (config: Config) => void, options?: { key?: Hex; clock?: () => Date }): Promise<Buyer>;
  /** The victim's database for one piece of work. */
  using<T>(work: (db: Db) => Promise<T>): Promise<T>;
  buy(request?: Partial<BuyRequest>, options?: BuyOptions): Promise<BuyResult>;
  /** Takes the seller off the network: its address refuses connections from now on. */
  vanish(): Promise<void>;
  /** The seller redeems everything it ever got signed; then what the wallet has lost, base units. */
  plunder(): Promise<bigint>;
};

export type World = {
  market: Market;
  /** `change` edits the victim's configuration, whose only seller is the hostile one. */
  attack(trick: Trick, change?: (config: Config) => void): Promise<Attack>;
  stop(): Promise<void>;
};

export const isPayment = ({ headers }: Seen): boolean => headers["payment-signature"] !== undefined;
export const isPurchase = ({ path }: Seen): boolean => path.endsWith("/infer");
export const paymentOf = ({ headers }: Seen): SeenPayment =>
  JSON.parse(Buffer.from(headers["payment-signature"] ?? "", "base64").toString()) as SeenPayment;

/** The requirements and the rest in a 402's header. */
export type Required = { accepts: Record<string, unknown>[] } & Record<string, unknown>;

/** A 402 whose PAYMENT-REQUIRED is what `change` makes of the first of the honest offers. */
export async function quoteWith(
  honest: () => Promise<Response>,
  change: (required: Required) => unknown,
): Promise<Response> {
  const header = (await honest()).headers.get("payment-required") ?? "";
  const required = JSON.parse(Buffer.from(header, "base64").toString()) as Required;
  // One way to pay, so that nothing else is taken in its place.
  required.accepts = required.accepts.slice(0, 1);
  return quote(change(required) ?? required);
}

/** The honest catalog with another price for every model, base units. */
export async function listAt(honest: () => Promise<Response>, amount: string): Promise<Response> {
  const catalog = (await (await honest()).json()) as { models: { price: { amount: string } }[] };
  for (const { price } of catalog.models) price.amount = amount;
  return Response.json(catalog);
}
export const isCatalog = ({ path }: Seen): boolean => path === "/v1/catalog";

/** A 402 with this in its PAYMENT-REQUIRED header. */
const quote = (required: unknown): Response =>
  new Response("{}", {
    status: 402,
    headers: { "payment-required": Buffer.from(JSON.stringify(required)).toString("base64") },
  });

/** Changes the one offer of a 402. */
export const offering =
  (change: Record<string, unknown>): Trick =>
  (request, honest) =>
    isPurchase(request) ? quoteWith(honest, ({ accepts }) => void Object.assign(accepts[0] ?? {}, change)) : honest();

/** The honest seller's 402 for a request, whatever payment came with it. */
export const unpaid = (world: World, request: Seen) => (): Promise<Response> =>
  fetch(`${world.market.devnet.sellers.honest.origin}${request.path}`, { method: "POST", body: request.body });

/** What a refused purchase came to: the error, what was signed, what the wallet lost, what the journal holds. */
export async function refusal(attack: Attack, request: Parameters<Attack["buy"]>[0] = {}) {
  const error: unknown = await attack.buy(request).catch((thrown: unknown) => thrown);
  const { code, money } = error as { code?: string; money?: string };
  const journaled = (await attack.buyer.spending()).recent.length;
  return { code, money, signed: attack.payments().length, journaled, lost: await attack.plunder() };
}

/** Refused with this code before anything was reserved or signed. */
export const untouched = (code: string) => ({ code, money: "not-moved", signed: 0, journaled: 0, lost: 0n });

/** Starts a market and a place for hostile sellers in it. */
export async function openWorld(): Promise<World> {
  const market = await openMarket();
  const { devnet } = market;
  const thief = createWalletClient({
    account: privateKeyToAccount(await devnet.bank.fundedKey(), { nonceManager }),
    chain: foundry,
    transport: http(devnet.rpcUrl),
  });
  const victims: Buyer[] = [];
  const sellers: Served[] = [];

  const redeem = async ({ payload: { authorization: a, signature } }: SeenPayment): Promise<void> => {
    const hash = await thief.writeContract({
      address: devnet.token,
      abi: devUsd.abi,
      functionName: "transferWithAuthorization",
      args: [a.from, a.to, BigInt(a.value), BigInt(a.validAfter), BigInt(a.validBefore), a.nonce, signature],
      gas: 300_000n,
    });
    await devnet.bank.client.waitForTransactionReceipt({ hash });
  };

  return {
    market,
    async attack(trick, change) {
      const key = generatePrivateKey();
      const payer = privateKeyToAccount(key).address.toLowerCase() as Address;
      await devnet.bank.token.mint(payer, FUNDS);
      const seen: Seen[] = [];
      const served = await serveLocally(async (request) => {
        const url = new URL(request.url);
        const body = new Uint8Array(await request.arrayBuffer());
        const one: Seen = {
          method: request.method,
          path: url.pathname,
          headers: Object.fromEntries(request.headers),
          body: Buffer.from(body).toString(),
        };
        seen.push(one);
        const honest = (): Promise<Response> =>
          fetch(`${devnet.sellers.honest.origin}${url.pathname}${url.search}`, {
            method: request.method,
            headers: without(one.headers, ["host", "content-length", "connection"]),
            ...(body.length === 0 ? {} : { body }),
          }).then(async (answer) => {
            const headers = without(Object.fromEntries(answer.headers), [
              "content-length",
              "connection",
              "transfer-encoding",
            ]);
            return new Response(await answer.arrayBuffer(), { status: answer.status, headers });
          });
        return trick(one, honest);
      });
      sellers.push(served);
      const config = market.config((made) => {
        made.sellers = made.sellers.filter(({ id }) => id === "honest");
        for (const seller of made.sellers) seller.origin = served.origin;
        change?.(made);
      });
      const buyer = await openBuyer({ config, wallet: walletFromPrivateKey(key) });
      victims.push(buyer);
      const payments = (): SeenPayment[] => [
        ...new Map(
          seen.filter(isPayment).map((one) => [paymentOf(one).payload.signature, paymentOf(one)] as const),
        ).values(),
      ];
      return {
        buyer,
        payer,
        key,
        config,
        async reopen(edit, options = {}) {
          const { key: other = key, ...rest } = options;
          const changed = structuredClone(config);
          edit?.(changed);
          const later = await openBuyer({ config: changed, wallet: walletFromPrivateKey(other), ...rest });
          victims.push(later);
          return later;
        },
        async using(work) {
          const db = await openDatabase(config.database);
          try {
            return await work(db);
          } finally {
            await db.destroy();
          }
        },
        origin: served.origin,
        seen,
        payments,
        async buy(request = {}, options = {}) {
          const result = await buyWith(
            buyer,
            { model: "eth-risk", input: ETH_FEATURES, idempotencyKey: crypto.randomUUID(), ...request },
            options,
          );
          return result;
        },
        vanish: () => served.stop(),
        async plunder() {
          for (const payment of payments()) await redeem(payment);
          return FUNDS - (await devnet.balanceOf(payer));
        },
      };
    },
    async stop() {
      await Promise.all(victims.map((victim) => victim.close()));
      await Promise.all(sellers.map((seller) => seller.stop()));
      await market.stop();
    },
  };
}

const without = (headers: Record<string, string>, names: readonly string[]): Record<string, string> =>
  Object.fromEntries(Object.entries(headers).filter(([name]) => !names.includes(name)));
