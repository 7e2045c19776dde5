import type { Buyer } from "../../src/buyer/types.ts";
import { buyerOf } from "../support/chat-server.ts";
import { openMarket } from "../support/devnet.ts";
import { CHAT_MODEL, openGatewayWorld } from "../support/gateway.ts";
import { payingFetch } from "../support/stock-client.ts";
import { streamingChat } from "../support/streaming-chat.ts";
import { interleaved, median, row, type Line } from "./measure.ts";

const WARMUP = 3;
const WORDS = 40;
/** Between two words of an answer, ms. */
const PACE = 2;
const asked = (at: number) => ({ messages: [{ role: "user", content: `Say number ${at}` }], stream: true });
let calls = 0;

/** Moments of the measured rounds, by name: medians without the rounds that warm up. */
function moments(rounds: number) {
  const kept = new Map<string, number[]>();
  return {
    note: (name: string, ms: number): void => void kept.set(name, [...(kept.get(name) ?? []), ms]),
    of: (name: string): number => median((kept.get(name) ?? []).slice(-rounds)),
  };
}

/** Streams from one seller, bought with the stock client and with ours. */
async function benchStreams(rounds: number): Promise<Line[]> {
  const market = await openMarket({ chat: true });
  const seller = await streamingChat(market, () => {
    let said = 0;
    const timer = setInterval(() => {
      if (said < WORDS) seller.say(`word ${(said += 1)} `);
      else {
        clearInterval(timer);
        seller.end();
      }
    }, PACE);
  });
  try {
    const { send } = payingFetch(market);
    const served = { origin: seller.origin, stop: () => seller.stop() };
    const buyer = await buyerOf(market, served);
    const { note, of } = moments(rounds);
    const stock = async (): Promise<void> => {
      const began = performance.now();
      const response = await send(`${seller.origin}/v1/chat/completions`, {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: JSON.stringify({ model: CHAT_MODEL, ...asked((calls += 1)) }),
      });
      const reader = response.body?.getReader();
      let isFirst = true;
      for (let one = await reader?.read(); one?.done === false; one = await reader?.read()) {
        if (isFirst) note("stock, first", performance.now() - began);
        isFirst = false;
      }
      note("stock", performance.now() - began);
    };
    const own = async () => {
      const began = performance.now();
      let isFirst = true;
      const { receipt } = await buyer.buy(CHAT_MODEL, asked((calls += 1)), {
        seller: "chat",
        assurance: "none",
        onAnswerPart: () => {
          if (isFirst) note("own, first", performance.now() - began);
          isFirst = false;
        },
      });
      note("own", performance.now() - began);
      return () => buyer.getReceipt(receipt.id, { waitSeconds: 10 });
    };
    await interleaved({ stock, own }, { rounds, warmup: WARMUP });
    const against = (name: string) => ({ base: { name: "stock", ms: of(name), target: 1.1 } });
    return [
      row("stock @x402/fetch, first token of a stream", of("stock, first")),
      row("proof402, first token", of("own, first"), against("stock, first")),
      row(`stock @x402/fetch, whole stream of ${WORDS} tokens`, of("stock")),
      row("proof402, whole stream, verified, with its receipt", of("own"), against("stock")),
    ];
  } finally {
    await seller.stop();
    await market.stop();
  }
}

/** Signed streams of an attested gateway: with a permit each, and on a shared one. */
async function benchGateway(rounds: number): Promise<Line[]> {
  // The gateway settles a session that long without use.
  const world = await openGatewayWorld({ idleMs: 60_000 });
  try {
    const gateway = await world.open();
    const raised = (one: Parameters<NonNullable<Parameters<typeof world.buyer>[1]>>[0]): void => {
      one.payment.callsPerHour = 10_000;
      for (const asset of one.payment.assets) Object.assign(asset, { perHour: asset.total, perDay: asset.total });
    };
    const apart = await world.buyer(gateway, raised);
    const shared = await world.buyer(gateway, (config) => {
      raised(config);
      for (const seller of config.sellers)
        seller.sharedAuthorization = { shownBy: "token", calls: 1000, idleSeconds: 45, marginSeconds: 130 };
    });
    const { note, of } = moments(rounds);
    const buy = (name: string, buyer: Buyer) => async (): Promise<void> => {
      const at = new Map<string, { ms: number; cpu: number }>();
      const began = performance.now();
      const result = await buyer.buy(CHAT_MODEL, asked((calls += 1)), {
        onProgress({ step }) {
          const { user, system } = process.cpuUsage();
          at.set(step, { ms: performance.now(), cpu: (user + system) / 1000 });
        },
      });
      note(name, performance.now() - began);
      const [answered, checked] = [at.get("answered"), at.get("checked")];
      if (answered === undefined || checked === undefined) throw new Error("the purchase told of no check");
      note("verified", checked.ms - answered.ms);
      note("verified, CPU", checked.cpu - answered.cpu);
      if (result.appraisal.layers.response.status !== "pass") throw new Error("the answer did not verify");
    };
    await interleaved({ first: buy("first", apart), later: buy("later", shared) }, { rounds, warmup: WARMUP });
    return [
      row("verification after a signed stream's last token", of("verified"), { cpu: of("verified, CPU"), under: 5 }),
      row("a call that signs a permit", of("first")),
      row("a later call on a shared permit", of("later"), { base: { name: "first", ms: of("first"), target: 0.5 } }),
    ];
  } finally {
    await world.stop();
  }
}

/** Chats: streams against the stock client, verification, and calls on one permit. */
export const benchChats = async (rounds: number): Promise<Line[]> => [
  ...(await benchStreams(rounds)),
  "",
  ...(await benchGateway(rounds)),
];
