import { once } from "node:events";
import { request, type IncomingMessage } from "node:http";
import { connect, type Socket } from "node:net";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from "vitest";
import { loadNodeConfig, type NodeConfigInput } from "../../src/node/config.ts";
import { packageModelsDirectory } from "../../src/node/index.ts";
import { serveNode as serveConfig, type NodeEvent } from "../../src/node/serve.ts";
import { newAccount } from "../devnet/authorizations.ts";
import { runCli } from "../support/cli.ts";
import { openMarket, type Market } from "../support/devnet.ts";
import { gate } from "../support/gate.ts";
import { serveNode } from "../support/node-process.ts";
import { facilitatorWith, purseFor } from "../support/selling.ts";

let market: Market;
let folder: string;
beforeAll(async () => {
  market = await openMarket();
  folder = join(market.directory, "seller");
  const model = join(await packageModelsDirectory(), "eth-risk.onnx");
  const args = ["--price", "0.01", "--pay-to", newAccount().address, "--out", folder];
  await runCli(["node", "init", model, ...args]);
});
afterAll(() => market.stop());

/** Writes a configuration of its own for a node on the market's chain. */
async function change(edit: (settings: NodeConfigInput) => void, path: string): Promise<string> {
  const { devnet } = market;
  const settings = JSON.parse(await readFile(join(folder, "node.config.json"), "utf8")) as NodeConfigInput;
  settings.listen = { port: 0 };
  Object.assign(settings.payment, {
    network: `eip155:${devnet.chainId}`,
    asset: devnet.token,
    decimals: 6,
    domain: { name: devnet.bank.token.name, version: devnet.bank.token.version },
    rpcUrl: devnet.rpcUrl,
  });
  edit(settings);
  await writeFile(path, JSON.stringify(settings));
  return path;
}

/** Serves a configuration from this process, until the test ends. */
async function serveHere(edit: (settings: NodeConfigInput) => void, name: string): Promise<NodeEvent[]> {
  const events: NodeEvent[] = [];
  const node = await serveConfig(await loadNodeConfig(await change(edit, join(folder, name))), (one) =>
    events.push(one),
  );
  onTestFinished(() => node.stop());
  return events;
}

/** A connection to a node that has sent this much. */
async function opened(address: string, text: string): Promise<Socket> {
  const socket = connect(Number(new URL(address).port), "127.0.0.1");
  socket.on("error", () => undefined);
  await once(socket, "connect");
  if (text !== "") await new Promise<void>((sent) => void socket.write(text, () => sent()));
  return socket;
}
const HALF = "POST /v2/models/eth-risk/infer HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\ncontent-length: 9\r\n\r\n{";

describe("the end of a node that serves", () => {
  test("T107: silent connections and half-sent bodies neither keep payers out nor hold the end", async () => {
    const path = await change(
      (settings) => {
        settings.limits = { atOnce: 1 };
        settings.payment.facilitatorUrl = market.devnet.facilitatorUrl;
        settings.origin = "https://seller.example";
      },
      join(folder, "slow.json"),
    );
    const node = await serveNode(path);
    const half = await opened(node.origin, HALF);
    const silent = await opened(node.origin, "");
    const ends = [half, silent].map((socket) => once(socket, "close"));
    // The node says so once it reads the body.
    await once(half, "data");
    const asking = request(`${node.origin}/v2/models/eth-risk/infer`, {
      method: "POST",
      headers: { host: "attacker.example" },
    }).end();
    const [answer] = (await once(asking, "response")) as [IncomingMessage];
    expect(answer.resume().statusCode).toBe(402);
    const offer = Buffer.from(String(answer.headers["payment-required"]), "base64").toString();
    expect(JSON.parse(offer)).toMatchObject({
      resource: { url: "https://seller.example/v2/models/eth-risk/infer" },
    });
    node.process.kill("SIGTERM");
    expect(await node.ended).toBe(0);
    await Promise.all(ends);
    expect(node.said.join()).toContain('"stopped"');
  });

  test("T107: a second signal waits for no settlement, and closes the records", async () => {
    const [settling, released] = [gate(), gate()];
    const facilitator = await facilitatorWith(market, {
      "/settle": async (honest) => {
        settling.open();
        await released.opened;
        return honest();
      },
    });
    const path = await change(
      (settings) => (settings.payment.facilitatorUrl = facilitator.origin),
      join(folder, "twice.json"),
    );
    const node = await serveNode(path);
    try {
      const answered = (await purseFor(market, node.origin)).post().catch(() => null);
      await settling.opened;
      node.process.kill("SIGTERM");
      await expect.poll(() => node.said.at(-1)).toContain('"stopping"');
      node.process.kill("SIGTERM");
      expect(await node.ended).toBe(0);
      expect(node.said.at(-1)).toContain('"stopped"');
      expect(await answered).toBeNull();
    } finally {
      released.open();
      await facilitator.stop();
    }
  });
});

describe("the counts of a node that serves", () => {
  test("T108: metrics count calls, refusals and money on loopback, name no payer, and answer to no other name", async () => {
    await writeFile(join(folder, "facilitator.token"), "a-token-of-ours", { mode: 0o600 });
    const [listening] = await serveHere((settings) => {
      settings.metrics = { port: 0 };
      settings.payment.facilitatorUrl = market.devnet.facilitatorUrl;
      settings.payment.facilitatorTokenFile = "facilitator.token";
    }, "metrics.json");
    if (listening?.event !== "listening" || listening.metrics === undefined) throw new Error("no metrics");
    const { address, metrics } = listening;
    const purse = await purseFor(market, address);
    expect((await purse.post()).status).toBe(200);
    expect((await purse.post()).status).toBe(200);
    expect((await purse.post("{}")).status).toBe(400);
    const text = await (await fetch(metrics)).text();
    const asset = market.devnet.token.toLowerCase();
    for (const line of [
      'proof402_requests_total{method="POST",status="200"} 2',
      'proof402_refused_total{code="payment_required"} 1',
      'proof402_refused_total{code="request_invalid"} 1',
      // The second answer was given again, and paid by the first call.
      'proof402_paid_calls_total{model="eth-risk"} 1',
      `proof402_settled_base_units_total{model="eth-risk",asset="${asset}"} 10000`,
      'proof402_inference_seconds_count{model="eth-risk"} 1',
      "proof402_requests_in_flight 0",
      "proof402_proofs_pending 0",
    ])
      expect(text.split("\n")).toContain(line);
    for (const secret of [purse.account.address.toLowerCase(), "a-token-of-ours", purse.signature])
      expect(text.toLowerCase()).not.toContain(secret);
    expect(new URL(metrics).hostname).toBe("127.0.0.1");
    expect((await fetch(`${address}/metrics`)).status).toBe(404);
    const rebound = request(metrics, { headers: { host: "attacker.example" } }).end();
    const [answer] = (await once(rebound, "response")) as [IncomingMessage];
    expect(answer.resume().statusCode).toBe(421);
  });
});
