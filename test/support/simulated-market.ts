import { randomUUID } from "node:crypto";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import type { Hex } from "../../src/evidence/bytes.ts";
import { skipTime } from "./simulated-time.ts";
import {
  asksForUse,
  CHAIN_ID,
  DOMAIN,
  TOKEN,
  type Authorization,
  type Call,
  type SimulatedChain,
} from "./simulated-chain.ts";

/** What a seller does with a paid request. */
export type Reply = {
  /** When it redeems the payment, if it does. */
  settles: "before" | "after" | "never";
  /** `deep`: with enough blocks on top for the buyer to believe it. */
  deep: boolean;
  answers:
    | "ok"
    | "unreadable"
    | "client_error"
    | "server_error"
    | "cut"
    /**
     * A 402: the same offer again, a dearer one, or one beside the word that the payment settled, is settling, or why it was
     * turned down.
     */
    | "same_offer"
    | "new_offer"
    | "says_settled"
    | "says_pending"
    | "says_why";
};

/** What a seller asks, base units: in its list and at its paywall. */
export type Price = { listed: number; asked: number };

/** Longer than a buyer waits for a settlement that is said to be under way, ms. */
const PATIENCE_MS = 20_000;

/** Looks of a buyer at a settlement, failed ones that are tried again included, until it waits no more. */
const LOOKS = 4;

/** A paid request as the seller got it. */
export type Paid = { sellerId: string; authorization: Authorization; header: string; body: string };

const HONEST: Reply = { settles: "before", deep: true, answers: "ok" };
export const PAYEES = { cheap: `0x${"d1".repeat(20)}`, dear: `0x${"d2".repeat(20)}` } as const;
export type SellerId = keyof typeof PAYEES;
export const SELLERS = Object.keys(PAYEES) as SellerId[];
export const NETWORK = `eip155:${CHAIN_ID}`;

/** What happens on the far side of the wire during one sequence: prices, replies to come, and who watches. */
export type Scene = {
  chain: SimulatedChain;
  /** The chain's RPC answers 503. */
  rpcDown: boolean;
  /** A seller spoke of a settlement: with so many of the buyer's next looks its patience passes, should it not come. */
  stalls: number;
  prices: Record<SellerId, Price>;
  /** How long an authorization for the sellers' offers may live, seconds. */
  life: number;
  /** The sellers answer 503 in place of their lists. */
  unlisted: boolean;
  /** How the next paid requests are answered; honestly where there is none. */
  replies: Reply[];
  /** Sees each paid request before anything is done with it. Resolves false where the line then breaks without an answer. */
  onPaid: (paid: Paid) => Promise<boolean>;
  onReply: (paid: Paid, reply: Reply) => void;
};

/** An RPC and two sellers on this machine. They play whatever scene is set. */
export type SimulatedMarket = {
  rpcUrl: string;
  origins: Record<SellerId, string>;
  play(scene: Scene): void;
  stop(): Promise<void>;
};

type Handler = (request: IncomingMessage, body: string, response: ServerResponse) => void | Promise<void>;

async function listen(handle: Handler): Promise<{ origin: string; stop(): Promise<void> }> {
  const server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on("data", (chunk: Buffer) => chunks.push(chunk));
    request.on("end", () => {
      Promise.resolve(handle(request, Buffer.concat(chunks).toString(), response)).catch(() => response.destroy());
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

/**
 * Has `fetch` of this process answer what is posted to a place that exists nowhere else. Four in five requests of a sequence
 * are for the chain, and HTTP would take more of its time than all that is tested.
 */
function answerFetch(handle: (body: string) => Response): { url: string; stop(): void } {
  const url = `https://${randomUUID()}.invalid/`;
  const { fetch: others } = globalThis;
  globalThis.fetch = async (...asked) => {
    const [place, { signal, body } = {}] = asked;
    if (place !== url || typeof body !== "string") return others(...asked);
    // A turn of the event loop, as on a wire: what goes on beside it gets between.
    await new Promise((resolve) => setImmediate(resolve));
    signal?.throwIfAborted();
    return handle(body);
  };
  return {
    url,
    stop() {
      globalThis.fetch = others;
    },
  };
}

const json = (response: ServerResponse, status: number, value: unknown, headers: Record<string, string> = {}): void =>
  void response.writeHead(status, { "content-type": "application/json", ...headers }).end(JSON.stringify(value));

const encoded = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString("base64");

export async function openSimulatedMarket(): Promise<SimulatedMarket> {
  let scene: Scene | null = null;
  const now = (): Scene => {
    if (scene === null) throw new Error("no scene is played");
    return scene;
  };
  const rpc = answerFetch((body) => {
    const scene = now();
    const { chain, rpcDown } = scene;
    const call = JSON.parse(body) as Call;
    if (scene.stalls > 0 && (rpcDown || asksForUse(call))) {
      scene.stalls -= 1;
      skipTime(PATIENCE_MS);
    }
    if (rpcDown) return new Response("{}", { status: 503 });
    try {
      return Response.json({ jsonrpc: "2.0", id: call.id, result: chain.answer(call) });
    } catch (error) {
      return Response.json({ jsonrpc: "2.0", id: call.id, error: { code: 3, message: String(error) } });
    }
  });
  const opened = await Promise.all(SELLERS.map(async (id) => [id, await listen(sellerOf(id, now))] as const));
  return {
    rpcUrl: rpc.url,
    origins: Object.fromEntries(opened.map(([id, { origin }]) => [id, origin])) as Record<SellerId, string>,
    play(next) {
      scene = next;
    },
    async stop() {
      rpc.stop();
      await Promise.all(opened.map(([, seller]) => seller.stop()));
    },
  };
}

const sellerOf =
  (id: SellerId, now: () => Scene): Handler =>
  async (request, body, response) => {
    const scene = now();
    const { [id]: price } = scene.prices;
    if (request.method === "GET") return json(response, scene.unlisted ? 503 : 200, { models: [modelOf(price)] });
    const signature = request.headers["payment-signature"];
    if (typeof signature !== "string") return askFor(response, id, scene);
    const paid = { sellerId: id, authorization: authorizationIn(signature), header: signature, body };
    if (!(await scene.onPaid(paid))) return void response.destroy();
    return reply(scene, id, response, paid);
  };

function reply(scene: Scene, id: SellerId, response: ServerResponse, paid: Paid): void {
  const { chain, prices } = scene;
  const next = scene.replies.shift() ?? HONEST;
  const settle = (): void => {
    if (chain.redeem(paid.authorization) !== null && next.deep) chain.mine();
  };
  if (next.settles === "before") settle();
  if (next.settles === "after") response.once("close", settle);
  const transaction = chain.useOf(paid.authorization.nonce);
  const said = transaction === null ? {} : { "payment-response": encoded({ success: true, transaction }) };
  if (next.answers === "new_offer") {
    const { [id]: price } = prices;
    prices[id] = { listed: price.listed + 1000, asked: price.asked + 1000 };
  }
  scene.stalls = next.answers === "says_settled" || next.answers === "says_pending" ? LOOKS : 0;
  scene.onReply(paid, next);
  switch (next.answers) {
    case "ok":
      return json(response, 200, { model_name: "m", outputs: [output()] }, said);
    case "unreadable":
      return void response.writeHead(200, said).end("<html>");
    case "client_error":
      return json(response, 422, { error: "no" }, said);
    case "server_error":
      return json(response, 500, { error: "later" }, said);
    case "cut":
      return void response.destroy();
    case "same_offer":
    case "new_offer":
      return askFor(response, id, scene);
    case "says_settled":
      return askFor(response, id, scene, { success: true, transaction: transaction ?? `0x${"ee".repeat(32)}` });
    case "says_pending":
      return askFor(response, id, scene, { success: false, errorReason: "settlement_pending" });
    case "says_why":
      return askFor(response, id, scene, { success: false, errorReason: "insufficient_funds" });
    default:
      return next.answers satisfies never;
  }
}

function askFor(response: ServerResponse, id: SellerId, { prices, life }: Scene, said?: unknown): void {
  const { [id]: price } = prices;
  const accepts = [
    {
      scheme: "exact",
      network: NETWORK,
      amount: String(price.asked),
      asset: TOKEN,
      payTo: PAYEES[id],
      maxTimeoutSeconds: life,
      extra: DOMAIN,
    },
  ];
  json(
    response,
    402,
    {},
    {
      "payment-required": encoded({ x402Version: 2, accepts }),
      ...(said === undefined ? {} : { "payment-response": encoded(said) }),
    },
  );
}

const tensor = (name: string) => ({ name, datatype: "INT64", shape: [1] });
const output = () => ({ ...tensor("y"), data: [1] });
const modelOf = ({ listed }: Price) => ({
  name: "m",
  inputs: [tensor("x")],
  outputs: [tensor("y")],
  price: { network: NETWORK, asset: TOKEN, amount: String(listed) },
});

function authorizationIn(header: string): Authorization {
  const { payload } = JSON.parse(Buffer.from(header, "base64").toString()) as {
    payload: { authorization: Record<"from" | "to" | "value" | "validBefore", string> & { nonce: Hex } };
  };
  const { from, to, value, validBefore, nonce } = payload.authorization;
  return { from, to, value: BigInt(value), validBefore: Number(validBefore), nonce };
}
