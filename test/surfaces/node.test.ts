import { createHash } from "node:crypto";
import { once } from "node:events";
import type { IncomingMessage } from "node:http";
import { get } from "node:https";
import { chmod, copyFile, mkdir, readFile, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from "vitest";
import { sellerSchema } from "../../src/market/types.ts";
import { loadNodeConfig, nodeConfigSchema, type NodeConfigInput } from "../../src/node/config.ts";
import { packageModelsDirectory } from "../../src/node/index.ts";
import type { ServedNode } from "../../src/node/serve.ts";
import { selfSigned } from "../http/self-signed.ts";
import { buyWith } from "../support/buy.ts";
import { runCli } from "../support/cli.ts";
import { newAccount } from "../devnet/authorizations.ts";
import { ETH_FEATURES, openMarket, type Market } from "../support/devnet.ts";
import { serveConfig, writeNodeConfig } from "../support/node-config.ts";
import { infront } from "../support/infront.ts";
import { gate } from "../support/gate.ts";
import { serveNode } from "../support/node-process.ts";
import { perceptron, seeded } from "../support/onnx-files.ts";
import { elsewhere, graphOf, modelOf, node } from "../support/onnx-messages.ts";
import { facilitatorWith, holdSettling, isUsed, purseFor } from "../support/selling.ts";

let market: Market;
let folder: string;
let config: string;
const payTo = newAccount().address;
beforeAll(async () => {
  market = await openMarket();
  folder = join(market.directory, "seller");
  config = join(folder, "node.config.json");
});
afterAll(() => market.stop());

/** Rewrites the configuration that init wrote. */
const change = (edit: (settings: NodeConfigInput) => void, path = config): Promise<string> =>
  writeNodeConfig(folder, path, edit);
const serveHere = async (edit: (settings: NodeConfigInput) => void, name: string): Promise<ServedNode> =>
  serveConfig(await change(edit, name));

describe("a seller from an ONNX file", () => {
  test("init writes a configuration and a key, over nothing, and refuses what cannot be sold", async () => {
    const models = await packageModelsDirectory();
    const args = ["node", "init", join(models, "eth-risk.onnx"), "--price", "0.01", "--pay-to", payTo, "--out", folder];
    const made = await runCli(args);
    expect(made).toMatchObject({ code: 0 });
    expect(made.stdout).toContain(`proof402 node serve ${config}`);
    expect((await stat(join(folder, "signing.pem"))).mode & 0o777).toBe(0o600);
    expect(await runCli(args)).toMatchObject({ code: 64, stderr: expect.stringContaining("is there already") });
    const other = join(market.directory, "other");
    const bad = async (...changed: string[]): Promise<string> =>
      (await runCli([...args.slice(0, -1), other, ...changed])).stderr;
    expect(await bad("--price", "a cent")).toContain("--price: ");
    expect(await bad("--pay-to", "0x12")).toContain("--pay-to: ");
    expect(await bad("--network", "base")).toContain("--facilitator is required");
    const notOnnx = join(market.directory, "text.onnx");
    await writeFile(notOnnx, "no model");
    expect((await runCli(["node", "init", notOnnx, ...args.slice(3, -1), other])).stderr).toContain(
      "not an ONNX model",
    );
  });

  test("init sells a model of several files as one, whose digest covers all of them", async () => {
    const exported = join(market.directory, "exported");
    await mkdir(exported);
    const file = join(exported, "scale.onnx");
    await writeFile(file, modelOf(graphOf([node("Mul", ["x", "w"], "y")], [elsewhere("w")])));
    const own = join(exported, "seller");
    const args = ["node", "init", file, "--price", "0.01", "--pay-to", payTo, "--out", own];
    expect((await runCli(args)).stderr).toContain("weights.bin is not beside it");
    await writeFile(join(exported, "weights.bin"), new Uint8Array(12));
    const { stdout } = await runCli(args);
    expect(stdout).toContain(`Put weights.bin into ${join(own, "scale.packed.onnx")}`);
    const made = JSON.parse(await readFile(join(own, "node.config.json"), "utf8")) as NodeConfigInput;
    const packed = await readFile(join(own, "scale.packed.onnx"));
    const sha256 = createHash("sha256").update(packed).digest("hex");
    expect(made.models).toEqual([{ name: "scale", file: "scale.packed.onnx", sha256, price: "0.01" }]);
  });

  test("the configuration in docs/selling.md is one", async () => {
    const page = await readFile("docs/selling.md", "utf8");
    const [, json = ""] = /```json\n(.*?)```/s.exec(page) ?? [];
    expect(nodeConfigSchema.safeParse(JSON.parse(json)).success).toBe(true);
  });

  test("a wrong configuration is refused at the start, by its fields", async () => {
    const wrong = join(folder, "wrong.json");
    const told = async (edit: (settings: NodeConfigInput) => void): Promise<string> =>
      (await runCli(["node", "serve", await change(edit, wrong)])).stderr;
    expect(await told((settings) => (settings.models[0]!.price = "0.0000001"))).toContain("models[0].price");
    expect(await told((settings) => (settings.listen = { host: "0.0.0.0" }))).toContain("listen.tls");
    expect(await told((settings) => (settings.payment.rpcUrl = "http://rpc.example"))).toContain("payment.rpcUrl");
    const clear = (settings: NodeConfigInput): void =>
      void (settings.payment.facilitatorUrl = "http://facilitator.example");
    expect(await told(clear)).toContain("in the clear");
    const allowed = await change((settings) => {
      clear(settings);
      settings.http = { allowPlainHttp: ["facilitator.example"] };
    }, wrong);
    await expect(loadNodeConfig(allowed)).resolves.toMatchObject({ http: { allowPlainHttp: ["facilitator.example"] } });
    expect(await told((settings) => (settings.models[0]!.sha256 = "ab".repeat(32)))).toContain(
      "does not have the digest",
    );
    expect(await told((settings) => (settings.signingKeyFile = "none.pem"))).toContain("signingKeyFile");
    expect(await told((settings) => Object.assign(settings, { prise: 1 }))).toContain("prise");
    await copyFile(join(folder, "signing.pem"), join(folder, "open.pem"));
    await chmod(join(folder, "open.pem"), 0o644);
    expect(await told((settings) => (settings.signingKeyFile = "open.pem"))).toContain("may read");
  });

  test("the entry that reference prints buys at signed from the process that serve runs", async () => {
    const { devnet } = market;
    const token = join(folder, "facilitator.token");
    await writeFile(token, "of-this-seller\n", { mode: 0o600 });
    const asked: (string | null)[] = [];
    const guarded = await infront(devnet.facilitatorUrl, (_path, { headers }) => {
      asked.push(headers.get("authorization"));
      return Promise.resolve(asked.at(-1) === "Bearer of-this-seller" ? null : new Response(null, { status: 401 }));
    });
    onTestFinished(() => guarded.stop());
    await change((settings) => {
      settings.listen = { port: 0 };
      settings.payment = {
        network: `eip155:${devnet.chainId}`,
        asset: devnet.token,
        decimals: 6,
        domain: { name: devnet.bank.token.name, version: devnet.bank.token.version },
        payTo,
        facilitatorUrl: guarded.origin,
        facilitatorTokenFile: "facilitator.token",
        rpcUrl: devnet.rpcUrl,
        ownPayee: true,
      };
    });
    const running = await serveNode(config);
    await change((settings) => (settings.origin = running.origin));
    const { stdout, stderr } = await runCli(["node", "reference", config, "--id", "mine"]);
    expect(stderr).toContain("not in what machine");
    const entry = sellerSchema.parse(JSON.parse(stdout));
    expect(entry).toMatchObject({ id: "mine", assurance: "signed", payTo: [payTo.toLowerCase()] });
    const buyer = await market.buyer((settings) => void (settings.sellers = [entry]));
    const { appraisal } = await buyWith(buyer, {
      model: "eth-risk",
      input: ETH_FEATURES,
      assurance: "signed",
      idempotencyKey: "of-a-process",
      wait: "verified",
    });
    expect(appraisal).toMatchObject({ verdict: "verified", assurance: "signed" });
    expect(await devnet.balanceOf(payTo)).toBe(10_000n);
    expect(new Set(asked)).toEqual(new Set(["Bearer of-this-seller"]));
    running.process.kill("SIGTERM");
    expect(await running.ended).toBe(0);
    expect(running.said.map((line) => (JSON.parse(line) as { event: string }).event)).toEqual(
      expect.arrayContaining(["listening", "request", "stopping", "stopped"]),
    );
  });

  test.each(["SIGTERM", "SIGKILL"] as const)("no paid call is lost to %s while it is settled", async (signal) => {
    const [settling, signalled] = [gate(), gate()];
    const facilitator = await facilitatorWith(market, {
      "/settle": async (honest) => {
        // The money moves, and then the node hears of the signal.
        const answer = await honest();
        settling.open();
        await signalled.opened;
        return answer;
      },
    });
    try {
      const own = await change(
        (settings) => (settings.payment.facilitatorUrl = facilitator.origin),
        join(folder, `${signal}.json`),
      );
      const before = await market.devnet.balanceOf(payTo);
      const first = await serveNode(own);
      const purse = await purseFor(market, first.origin);
      const answered = purse.post().catch(() => null);
      await settling.opened;
      first.process.kill(signal);
      if (signal === "SIGKILL") await first.ended;
      signalled.open();
      const told = await answered;
      // A stopped node gives the answer before it ends; a killed one gives none.
      expect([await first.ended, told?.status]).toEqual(signal === "SIGTERM" ? [0, 200] : [null, undefined]);
      const second = await serveNode(own);
      const again = await purse.post(undefined, second.origin);
      expect(again.status).toBe(200);
      expect(again.text).toContain("probabilities");
      second.process.kill("SIGTERM");
      expect(await second.ended).toBe(0);
      expect((await market.devnet.balanceOf(payTo)) - before).toBe(10_000n);
    } finally {
      signalled.open();
      await facilitator.stop();
    }
  });

  test("one request more than atOnce is told to come again, and pays nothing", async () => {
    const { facilitator, settling, released } = await holdSettling(market);
    onTestFinished(() => facilitator.stop());
    const node = await serveHere((settings) => {
      settings.limits = { atOnce: 1 };
      settings.payment.facilitatorUrl = facilitator.origin;
    }, "one.json");
    try {
      const purses = [await purseFor(market, node.address), await purseFor(market, node.address)];
      const first = purses[0]!.post();
      await settling.opened;
      expect(await purses[1]!.post()).toMatchObject({ status: 503, payment: null });
      expect((await fetch(`${node.address}/v2/health/ready`)).status).toBe(200);
      released.open();
      expect((await first).status).toBe(200);
      expect(await Promise.all(purses.map((purse) => isUsed(market, purse)))).toEqual([true, false]);
    } finally {
      released.open();
    }
  });

  test("TLS files are what buyers connect to, and their key is read by its owner only", async () => {
    const { cert, key } = await selfSigned();
    await writeFile(join(folder, "tls.crt"), cert);
    await writeFile(join(folder, "tls.key"), key, { mode: 0o644 });
    const edit = (settings: NodeConfigInput): void => {
      settings.listen = { port: 0, tls: { certificateFile: "tls.crt", keyFile: "tls.key" } };
      settings.payment.facilitatorUrl = market.devnet.facilitatorUrl;
    };
    await expect(serveHere(edit, "tls.json")).rejects.toMatchObject({ code: "config_permissions" });
    await chmod(join(folder, "tls.key"), 0o600);
    const { address } = await serveHere(edit, "tls.json");
    expect(address).toMatch(/^https:/);
    const [answer] = (await once(get(`${address}/v2/health/ready`, { ca: cert, agent: false }), "response")) as [
      IncomingMessage,
    ];
    expect(answer.resume().statusCode).toBe(200);
    await expect(fetch(address.replace("https:", "http:"))).rejects.toThrow("fetch failed");
  });

  test("T110: a node with proving files and a pinned key sells at proven, and proves after a kill what it had not proved", async () => {
    const file = join(folder, "tiny.onnx");
    await writeFile(file, perceptron([3, 2], seeded(1)));
    const proving = join(folder, "proving");
    expect(await runCli(["node", "zk", "compile", file, "--out", proving])).toMatchObject({ code: 0 });
    const sha256 = createHash("sha256")
      .update(await readFile(file))
      .digest("hex");
    const edit = (settings: NodeConfigInput): void => {
      settings.models = [{ name: "tiny", file: "tiny.onnx", sha256, price: "0.01", provingFolder: "proving" }];
      settings.database = "proving.db";
      settings.payment.facilitatorUrl = market.devnet.facilitatorUrl;
    };
    const own = await change(edit, join(folder, "proving.json"));
    const running = await serveNode(own);
    await change((settings) => {
      edit(settings);
      settings.origin = running.origin;
    }, own);
    const entry = sellerSchema.parse(JSON.parse((await runCli(["node", "reference", own, "--id", "proving"])).stdout));
    expect(entry.assurance).toBe("proven");
    const buyer = await market.buyer((settings) => void (settings.sellers = [entry]));
    const { appraisal } = await buyWith(buyer, {
      model: "tiny",
      input: { x: [0.5, -0.25, 0.75] },
      assurance: "proven",
      idempotencyKey: "of-a-proving-process",
      wait: "verified",
    });
    expect(appraisal).toMatchObject({ verdict: "verified", assurance: "proven" });
    // Killed before its proof is made, a node makes it after its next start.
    const input = { x: [0.25, 0.5, -0.75] };
    const given = await buyWith(buyer, {
      model: "tiny",
      input,
      assurance: "signed",
      idempotencyKey: "before-its-proof",
    });
    running.process.kill("SIGKILL");
    await running.ended;
    const next = await serveNode(own);
    const sha = createHash("sha256")
      .update(Buffer.from(given.receipt.core.request.body ?? "", "base64"))
      .digest("hex");
    const stateOf = async (): Promise<unknown> => (await fetch(`${next.origin}/v1/proofs/${sha}`)).json();
    await expect.poll(stateOf, { timeout: 20_000 }).toMatchObject({ state: "proved" });
    next.process.kill("SIGTERM");
    expect(await next.ended).toBe(0);
  });
});
