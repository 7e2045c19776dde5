import { chmod, copyFile, readFile, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { sellerSchema } from "../../src/market/types.ts";
import { nodeConfigSchema, type NodeConfigInput } from "../../src/node/config.ts";
import { packageModelsDirectory } from "../../src/node/index.ts";
import { buyWith } from "../support/buy.ts";
import { runCli } from "../support/cli.ts";
import { newAccount } from "../devnet/authorizations.ts";
import { ETH_FEATURES, openMarket, type Market } from "../support/devnet.ts";
import { serveNode } from "../support/node-process.ts";
import { facilitatorWith, purseFor } from "../support/selling.ts";

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
async function change(edit: (settings: NodeConfigInput) => void, path = config): Promise<string> {
  const settings = JSON.parse(await readFile(config, "utf8")) as NodeConfigInput;
  edit(settings);
  await writeFile(path, JSON.stringify(settings));
  return path;
}

/** A place to wait at until it is opened. */
function gate(): { opened: Promise<void>; open: () => void } {
  let open = (): void => undefined;
  const opened = new Promise<void>((resolve) => (open = resolve));
  return { opened, open: () => open() };
}

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
    await change((settings) => {
      settings.listen = { port: 0 };
      settings.payment = {
        network: `eip155:${devnet.chainId}`,
        asset: devnet.token,
        decimals: 6,
        domain: { name: devnet.bank.token.name, version: devnet.bank.token.version },
        payTo,
        facilitatorUrl: devnet.facilitatorUrl,
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
});
