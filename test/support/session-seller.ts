import { createHash, randomUUID } from "node:crypto";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { privateKeyToAccount } from "viem/accounts";
import { configSchema, type Config } from "../../src/config/schema.ts";
import { newAccount } from "../devnet/authorizations.ts";
import type { Market } from "./devnet.ts";

/** One signed permit at the seller, and the calls on it. Amounts in base units. */
export type Session = {
  token: string;
  /** The payment that it began with. */
  header: string;
  cost: bigint;
  calls: number;
  /** What was asked in them: the number in each request. */
  asked: number[];
  isOver: boolean;
};

/** What the seller does with a paid request. */
export type Manners = {
  /** What the next call costs, and what its answer tells of that in whole tokens; null tells nothing. */
  cost: bigint;
  told: string | null;
  /** Gives a token with the first answer. */
  givesToken: boolean;
  /** In place of an answer: a 402, a 500, or the line breaks, after the work was counted or before. */
  fails: "no" | "refuses" | "error" | "error_counted" | "breaks" | "breaks_uncounted";
  /** What an offer is for. */
  asks: bigint;
};

/** A paid request as it came. */
export type Came = { path: string; token: string | null; payment: string | null; body: string };

/**
 * A seller of the Open Inference Protocol by `upto` whose permits serve many calls, as OpenGradient's gateway has it: it
 * settles one sum when it is told to, and says so in no answer.
 */
export type SessionSeller = {
  origin: string;
  payTo: string;
  manners: Manners;
  sessions: Session[];
  /** All paid requests, oldest first. */
  came: Came[];
  /** Settles a session at its cost, or at another sum. Gives what the facilitator answered. */
  settle(session: Session, amount?: bigint): Promise<{ success: boolean; transaction?: string; errorReason?: string }>;
  /** Keeps the next call waiting for its answer, after it was counted, until it is released. */
  hold(): { reached: Promise<void>; released: () => void };
  stop(): Promise<void>;
};

/** Calls cost this much, and an offer is for up to {@link OFFERED}. Base units of a token with 6 decimals. */
const COST = 300n;
export const OFFERED = 10_000n;

const encoded = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString("base64");
const tensor = (name: string) => ({ name, datatype: "INT64", shape: [1] });
const keyOf = (header: string): string => createHash("sha256").update(header).digest("hex");

export async function openSessionSeller({ devnet }: Market): Promise<SessionSeller> {
  const payTo = newAccount().address.toLowerCase();
  const network = `eip155:${devnet.chainId}`;
  const facilitator = await facilitatorOf(devnet);
  const accepted = {
    scheme: "upto",
    network,
    asset: devnet.token,
    amount: String(OFFERED),
    payTo,
    maxTimeoutSeconds: 300,
    extra: {
      name: devnet.bank.token.name,
      version: devnet.bank.token.version,
      assetTransferMethod: "permit2",
      facilitatorAddress: facilitator,
    },
  };
  const offer = () => ({ ...accepted, amount: String(seller.manners.asks) });
  const ask = async (path: "verify" | "settle", header: string, amount: bigint): Promise<Record<string, unknown>> => {
    const paymentPayload: unknown = JSON.parse(Buffer.from(header, "base64").toString());
    const paymentRequirements = { ...accepted, amount: String(amount) };
    const response = await fetch(`${devnet.facilitatorUrl}/${path}`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ x402Version: 2, paymentPayload, paymentRequirements }),
    });
    return (await response.json()) as Record<string, unknown>;
  };
  const json = (status: number, value: unknown, headers: Record<string, string> = {}): Response =>
    new Response(JSON.stringify(value), { status, headers: { "content-type": "application/json", ...headers } });
  const refuse = (error: string): Response =>
    json(402, { error }, { "payment-required": encoded({ x402Version: 2, accepts: [offer()] }) });

  let held: { reach: () => void; released: Promise<void> } | null = null;
  const seller: Omit<SessionSeller, "origin" | "stop"> = {
    hold() {
      let release: () => void = () => undefined;
      const released = new Promise<void>((resolve) => (release = resolve));
      const reached = new Promise<void>((resolve) => (held = { reach: resolve, released }));
      return { reached, released: release };
    },
    payTo,
    manners: { cost: COST, told: "0.0003", givesToken: true, fails: "no", asks: OFFERED },
    sessions: [],
    came: [],
    async settle(session, amount = session.cost) {
      session.isOver = true;
      return (await ask("settle", session.header, amount)) as Awaited<ReturnType<SessionSeller["settle"]>>;
    },
  };

  async function sessionFor(token: string | null, header: string | null): Promise<Session | Response> {
    if (token !== null)
      return (
        seller.sessions.find((one) => one.token === token && !one.isOver) ?? refuse("Session expired or exhausted")
      );
    if (header === null) return refuse("Payment required");
    const known = seller.sessions.find((one) => keyOf(one.header) === keyOf(header));
    if (known !== undefined) return known.isOver ? refuse("Session expired or exhausted") : known;
    const verified = await ask("verify", header, seller.manners.asks);
    if (verified["isValid"] !== true) return refuse("Payment invalid");
    const opened = { token: randomUUID(), header, cost: 0n, calls: 0, asked: [], isOver: false };
    seller.sessions.push(opened);
    return opened;
  }

  const served = await listen(async (request) => {
    const model = {
      name: "m",
      inputs: [tensor("x")],
      outputs: [tensor("y")],
      price: { network, asset: devnet.token, amount: String(OFFERED) },
    };
    if (request.method === "GET") return json(200, { models: [model] });
    const body = await request.text();
    const [token, payment] = [request.headers.get("x-upto-session"), request.headers.get("payment-signature")];
    if (token !== null || payment !== null)
      seller.came.push({ path: new URL(request.url).pathname, token, payment, body });
    const { cost, told, givesToken, fails } = { ...seller.manners };
    const session = await sessionFor(token, payment);
    if (session instanceof Response) return session;
    if (session.cost + cost > OFFERED) {
      session.isOver = true;
      return refuse("Session expired or exhausted");
    }
    const asked = JSON.parse(body) as { id: string; inputs: { data: number[] }[] };
    if (fails === "error") return json(500, { error: "later" });
    if (fails !== "breaks_uncounted" && fails !== "refuses") {
      session.cost += cost;
      session.calls += 1;
      session.asked.push(asked.inputs[0]?.data[0] ?? Number.NaN);
    }
    const [reached, released] = [held?.reach, held?.released];
    held = null;
    reached?.();
    await released;
    if (fails === "refuses") return refuse("Session expired or exhausted");
    if (fails === "error_counted") return json(500, { error: "later" });
    if (fails !== "no") return null;
    const answer = { model_name: "m", id: asked.id, outputs: [{ ...tensor("y"), data: [1] }] };
    const parameters = told === null ? {} : { parameters: { cost: told } };
    const headers = session.calls === 1 && givesToken ? { "x-upto-session": session.token } : {};
    return json(200, { ...answer, ...parameters }, headers);
  });
  return Object.assign(seller, { origin: served.origin, stop: () => served.stop() });
}

/** A server on this machine. Where its handler has no answer, the line breaks. */
async function listen(
  handle: (request: Request) => Promise<Response | null>,
): Promise<{ origin: string; stop(): Promise<void> }> {
  const server = createServer((incoming, outgoing) => {
    const chunks: Buffer[] = [];
    incoming.on("data", (chunk: Buffer) => chunks.push(chunk));
    incoming.on("end", () => {
      const { method = "GET", url = "/", headers } = incoming;
      const body = method === "GET" ? {} : { body: Buffer.concat(chunks).toString() };
      const request = new Request(`http://127.0.0.1${url}`, { method, headers: headers as HeadersInit, ...body });
      handle(request).then(
        async (response) => {
          if (response === null) return void outgoing.destroy();
          outgoing.writeHead(response.status, Object.fromEntries(response.headers)).end(await response.text());
        },
        () => outgoing.destroy(),
      );
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    origin: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    async stop() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

/** The address that settles on the devnet. */
async function facilitatorOf({ facilitatorUrl }: Market["devnet"]): Promise<string> {
  const supported = (await (await fetch(`${facilitatorUrl}/supported`)).json()) as {
    kinds: { scheme: string; extra?: { facilitatorAddress?: string } }[];
  };
  const address = supported.kinds.find(({ scheme }) => scheme === "upto")?.extra?.facilitatorAddress;
  if (address === undefined) throw new Error("the devnet's facilitator settles upto payments");
  return address.toLowerCase();
}

/** The configuration of a buyer that buys from this seller alone, with one authorization for several calls. */
export async function sessionConfig(
  market: Market,
  { origin, payTo }: Pick<SessionSeller, "origin" | "payTo">,
  sharedAuthorization: object | undefined = {},
): Promise<Config> {
  const config = market.config((made) => {
    made.payment.assets = made.payment.assets.filter(({ symbol }) => symbol === "USDC");
    for (const asset of made.payment.assets) asset.methods = ["upto"];
  });
  const facilitator = await facilitatorOf(market.devnet);
  return configSchema.parse({
    ...config,
    sellers: [
      {
        id: "session",
        provider: "oip",
        origin,
        payTo: [payTo],
        facilitators: [facilitator],
        assurance: "none",
        sharedAuthorization,
      },
    ],
    verification: { ...config.verification, assurance: "none" },
  });
}

export const accountOf = (key: `0x${string}`): string => privateKeyToAccount(key).address;
