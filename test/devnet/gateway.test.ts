import { request as ask } from "node:https";
import { join } from "node:path";
import { buffer } from "node:stream/consumers";
import { connect } from "node:tls";
import { afterAll, beforeAll, expect, onTestFinished, test } from "vitest";
import { appraisalPolicyOf } from "../../src/buyer/context.ts";
import type { ApprovalRequest, Buyer } from "../../src/buyer/types.ts";
import type { Config } from "../../src/config/schema.ts";
import { loadConfig } from "../../src/config/load.ts";
import { serveLocally, writeDevnet, type Served } from "../../src/devnet/index.ts";
import type { Proof402Error } from "../../src/errors.ts";
import type { Receipt } from "../../src/receipts/schema.ts";
import { appraise } from "../../src/verify/appraise.ts";
import { runCli } from "../support/cli.ts";
import { approveGateway, openMarket, writeVariant, type Market } from "../support/devnet.ts";

const MODEL = "devnet-chat";
const CHAT = { messages: [{ role: "user", content: "Say hello to the world" }] };

let market: Market;
/** An aggregator in front of the devnet's, which may change what it hands out. */
let front: Served;
let change: ((blob: string) => string) | null = null;
let asked: string[] = [];
beforeAll(async () => {
  market = await openMarket({ gateway: true });
  const aggregator = market.devnet.config.sellers.find(({ id }) => id === "gateway")?.aggregator;
  if (aggregator === undefined) throw new Error("it has a gateway");
  await approveGateway(market);
  front = await serveLocally(async (request) => {
    const { pathname } = new URL(request.url);
    asked.push(pathname);
    const blob = await (await fetch(`${aggregator}${pathname}`)).text();
    return new Response(change?.(blob) ?? blob);
  });
});
afterAll(async () => {
  await front.stop();
  await market.stop();
});

const settling =
  (settlement: "private" | "batch" | "individual") =>
  (config: Config): void => {
    config.sellers = config.sellers.filter(({ id }) => id === "gateway");
    for (const seller of config.sellers) Object.assign(seller, { settlement, aggregator: front.origin });
  };
const buy = (buyer: Buyer, options: Parameters<Buyer["buy"]>[2] = {}) =>
  buyer.buy(MODEL, CHAT, { assurance: "attested", ...options });

test("lists the upstream's models under its gateway, which lists none itself", async () => {
  const buyer = await market.buyer(settling("private"));
  const { models } = await buyer.listModels();
  expect(models.map(({ name }) => name)).toEqual(["devnet-chat", "devnet-chat-large"]);
});

test("T119: an answer asked for in a batch is found on chain and in its blob, and any change of that is caught", async () => {
  const config = market.config(settling("batch"));
  const buyer = await market.buyer((mine) => {
    Object.assign(mine, config);
  });
  const { receipt: bought } = await buy(buyer);
  await expect
    .poll(async () => (await buyer.getReceipt(bought.id, { waitSeconds: 5 })).appraisals.at(-1)?.layers.inclusion, {
      timeout: 20_000,
    })
    .toMatchObject({ status: "pass" });
  const receipt = await buyer.getReceipt(bought.id, { waitSeconds: 20, settled: true });
  expect(receipt.appraisals.at(-1)?.verdict).toBe("verified");
  const later = receipt.later.find(({ evidence }) => evidence.kind === "inclusion.merkle");
  expect(later).toBeDefined();

  const judge = (edit: (receipt: Receipt) => void, edited: Config = config) => {
    const copy = structuredClone(receipt);
    edit(copy);
    const at = new Date(receipt.core.response.receivedAt);
    return appraise({ receipt: copy, policy: appraisalPolicyOf(edited, "attested"), now: at, evaluateAt: at });
  };
  const withInclusion = (edit: (evidence: Record<string, unknown>) => void) =>
    judge((copy) => {
      for (const { evidence } of copy.later) if (evidence.kind === "inclusion.merkle") edit(evidence);
    });
  const other = `0x${"11".repeat(32)}`;
  expect((await judge(() => undefined)).layers.inclusion).toMatchObject({ status: "reported" });
  for (const [edit, code] of [
    [(one: Record<string, unknown>) => (one["root"] = other), "root_mismatch"],
    [(one: Record<string, unknown>) => (one["path"] = [other]), "path_invalid"],
    [(one: Record<string, unknown>) => Object.assign(one["leaf"] as object, { outputHash: other }), "leaf_mismatch"],
    [
      (one: Record<string, unknown>) => Object.assign(one["log"] as object, { address: other.slice(0, 42) }),
      "contract_mismatch",
    ],
  ] as const)
    expect((await withInclusion(edit)).layers.inclusion).toMatchObject({ status: "fail", code });
});

test("T119: a blob that is not the one under the root includes nothing", async () => {
  const buyer = await market.buyer(settling("batch"));
  change = (blob) => blob.replace(/"value":\["0x[0-9a-f]{4}/, '"value":["0x0000');
  asked = [];
  const { receipt } = await buy(buyer);
  await expect.poll(() => asked.length, { timeout: 20_000 }).toBeGreaterThan(0);
  const { appraisals, later } = await buyer.getReceipt(receipt.id, { waitSeconds: 20, settled: true });
  await buyer.close();
  change = null;
  expect(appraisals.at(-1)?.layers.inclusion.status).toBe("pending");
  expect(later.filter(({ evidence }) => evidence.kind === "inclusion.merkle")).toEqual([]);
});

test("a private answer is in no batch, and none is looked for", async () => {
  const buyer = await market.buyer(settling("private"));
  asked = [];
  const { receipt } = await buy(buyer);
  const { appraisals } = await buyer.getReceipt(receipt.id, { waitSeconds: 20, settled: true });
  expect(appraisals.at(-1)?.verdict).toBe("verified");
  await expect
    .poll(async () => (await buyer.getReceipt(receipt.id)).appraisals.at(-1)?.layers.inclusion, { timeout: 20_000 })
    .toMatchObject({ status: "skip", note: expect.stringContaining("not_published") });
  expect(asked).toEqual([]);
});

test("T119: what would be published in plain text takes a person's yes, whatever it costs", async () => {
  const buyer = await market.buyer(settling("individual"));
  const questions: ApprovalRequest[] = [];
  const refused = await buy(buyer, {
    approve: (question) => {
      questions.push(question);
      return Promise.resolve("declined");
    },
  }).catch((error: unknown) => error as Proof402Error);
  expect(refused).toMatchObject({ code: "approval_declined", money: "not-moved" });
  expect(questions[0]?.message).toContain("published for everyone to read");
  expect(await buy(buyer, { approve: () => Promise.resolve("approved") })).toMatchObject({ paidNow: true });
});

/** A configuration without sellers, and a way to run commands under it. */
async function newcomer(
  name: string,
): Promise<{ config: string; run: (...args: string[]) => ReturnType<typeof runCli> }> {
  const { config: full } = await writeDevnet(market.devnet, market.directory);
  const config = await writeVariant(full, join(market.directory, `${name}.json`), (own) => {
    Object.assign(own, { sellers: [], database: join(market.directory, `${name}.db`) });
    delete own.validationRegistry;
  });
  return { config, run: (...args) => runCli(["--config", config, ...args]) };
}

/** The gateway behind plain HTTP, with a list of models and without an attestation, as one outside its enclave's proxy. */
const bareGateway = (origin: string): Promise<Served> =>
  serveLocally(async (request) => {
    const { pathname } = new URL(request.url);
    if (pathname === "/v1/models") return Response.json({ object: "list", data: [{ id: MODEL, object: "model" }] });
    if (pathname === "/enclave/attestation") return new Response(null, { status: 404 });
    const { method } = request;
    const headers = Object.fromEntries([...request.headers].filter(([header]) => header !== "connection"));
    const body = new Uint8Array(await request.arrayBuffer());
    return new Promise((resolve, reject) => {
      ask(`${origin}${pathname}`, { method, headers, rejectUnauthorized: false }, (answer) => {
        const told = Object.entries(answer.headersDistinct).flatMap(([header, [value = ""] = []]) =>
          /^(?:connection|transfer-encoding|content-length|keep-alive)$/.test(header) ? [] : [[header, value] as const],
        );
        void buffer(answer).then((bytes) => {
          resolve(
            new Response(new Uint8Array(bytes), {
              status: answer.statusCode ?? 0,
              headers: [...told] as [string, string][],
            }),
          );
        }, reject);
      })
        .on("error", reject)
        .end(body);
    });
  });

test("a gateway is told by its key's id before any list of models, and is bought from as it was added", async () => {
  const { gateway } = market.devnet.sellers;
  const bare = await bareGateway(gateway!.origin);
  onTestFinished(() => bare.stop());
  const { config, run } = await newcomer("bare");
  const added = await run("sellers", "add", bare.origin, "--id", "bare", "--yes");
  expect(added.code, added.stderr).toBe(0);
  const [entry] = (await loadConfig({ path: config })).sellers;
  const facilitators = market.devnet.config.sellers.find(({ id }) => id === "gateway")?.facilitators ?? [];
  expect(facilitators).toHaveLength(1);
  expect(entry).toMatchObject({ provider: "opengradient", assurance: "signed", facilitators });
  expect(added.stdout).toContain(
    `Settled   by ${facilitators[0]}, who names the amounts (the seller's own word, in its offers)`,
  );
  const input = /--input '(.*)'/.exec(added.stdout)?.[1] ?? "";
  expect(added.stdout).toContain(
    `Buy with: proof402 buy ${MODEL} --seller bare --assurance signed --input '{"messages":`,
  );
  const { stdout: examined } = await run("doctor", "--json");
  const findings = JSON.parse(examined) as { check: string; status: string; says: string }[];
  expect(findings.find(({ check }) => check === "seller")).toMatchObject({
    status: "ok",
    says: expect.stringContaining("Lists no prices: a purchase shows its price."),
  });
  expect((await run("models")).stdout).not.toMatch(/simulated/i);
  const bought = await run("--json", "buy", MODEL, "--assurance", "signed", "--wait", "verified", "--input", input);
  expect(bought.code, bought.stderr).toBe(0);
  expect(JSON.parse(bought.stdout)).toMatchObject({
    receipt: { verdict: "verified", assurance: "signed", simulated: false },
  });
});

test("a gateway without a list is added by its certificate and the name of a model, attested", async () => {
  const { origin } = market.devnet.sellers.gateway!;
  const certificate = await new Promise<string>((resolve, reject) => {
    const { hostname: host, port } = new URL(origin);
    const socket = connect({ host, port: Number(port), rejectUnauthorized: false }, () => {
      resolve(socket.getPeerX509Certificate()!.fingerprint256.replaceAll(":", "").toLowerCase());
      socket.destroy();
    }).on("error", reject);
  });
  const { config, run } = await newcomer("attested");
  const add = (...more: string[]): ReturnType<typeof runCli> => run("sellers", "add", origin, "--yes", ...more);
  expect((await add()).stderr).toContain("Error http_unreachable");
  const unnamed = await add("--certificate-sha256", certificate);
  expect(unnamed.stderr).toContain("It keeps no list: the owner can name its models with --model");
  const added = await add("--certificate-sha256", certificate, "--model", MODEL);
  expect(added.code, added.stderr).toBe(0);
  expect(added.stdout).toContain("SIMULATED");
  expect((await loadConfig({ path: config })).sellers).toMatchObject([
    { provider: "opengradient", assurance: "attested", certificateSha256: certificate, models: [MODEL] },
  ]);
  const bought = await run("--json", "buy", MODEL, "--wait", "verified", "--input", JSON.stringify(CHAT));
  expect(bought.code, bought.stderr).toBe(0);
  expect(JSON.parse(bought.stdout)).toMatchObject({
    receipt: { verdict: "verified", assurance: "attested", simulated: true },
  });
});
