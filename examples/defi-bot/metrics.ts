import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { Gauge, Registry } from "prom-client";
import type { Health } from "./bot.ts";
import type { Store } from "./store.ts";

/**
 * Serves `GET /metrics` on loopback. Counts come from the store, so they go on after a restart. Gauges of money are in whole
 * tokens, rounded: a chart, not an account.
 */
export async function serveMetrics(
  port: number,
  { store, health }: { store: Store; health: Health },
): Promise<{ url: string; close(): void }> {
  const registry = new Registry();
  const gauge = (name: string, help: string, read: () => number): void => {
    const one: Gauge = new Gauge({
      name: `defi_bot_${name}`,
      help,
      registers: [registry],
      collect: () => one.set(read()),
    });
  };
  const rounds = new Gauge({
    name: "defi_bot_rounds",
    help: "Rounds that ended, by outcome.",
    labelNames: ["outcome"],
    registers: [registry],
    collect() {
      for (const [outcome, count] of Object.entries(store.outcomes())) rounds.set({ outcome }, count);
    },
  });
  gauge("troubles", "Tries that ended in an error of a seller or of the chain.", () => store.counts()["troubles"] ?? 0);
  gauge("starts", "Times that the bot was started.", () => store.counts()["starts"] ?? 0);
  gauge("position_eth", "ETH held.", () => Number(health.position) / 1e18);
  gauge(
    "budget_left",
    "Left to spend on answers, by the caps and the wallet, in whole tokens.",
    () => Number(health.left) / 1e6,
  );
  gauge("top_up", "1 if the budget is low or dry.", () => Number(health.isLow));
  gauge("waiting", "1 if the round waits: for a proof, money, a seller or the chain.", () =>
    Number(health.waitsFor !== null),
  );
  const server = createServer((request, response) => {
    if (request.method !== "GET" || request.url !== "/metrics") {
      response.writeHead(404).end();
      return;
    }
    registry.metrics().then(
      (text) => response.writeHead(200, { "content-type": registry.contentType }).end(text),
      () => response.writeHead(500).end(),
    );
  });
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(port, "127.0.0.1", resolve);
  });
  const { port: taken } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${taken}/metrics`,
    close() {
      server.closeAllConnections();
      server.close();
    },
  };
}
