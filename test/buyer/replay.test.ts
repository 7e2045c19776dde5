import { createHash } from "node:crypto";
import { mkdtemp, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Buyer, BuyResult } from "../../src/buyer/types.ts";
import type { Config } from "../../src/config/schema.ts";
import { tampering } from "../../src/devnet/dishonest.ts";
import { serveLocally } from "../../src/devnet/index.ts";
import { createInferenceNode } from "../../src/node/index.ts";
import { newestAppraisal } from "../../src/receipts/newest.ts";
import { parseReceipt, serializeReceipt } from "../../src/receipts/receipt.ts";
import type { Receipt, ReplayEvidence } from "../../src/receipts/schema.ts";
import { appraisalPolicySchema } from "../../src/verify/policy.ts";
import { judgeReplay } from "../../src/verify/computation/replay.ts";
import { ETH_FEATURES, openMarket, type Market } from "../support/devnet.ts";
import { eventually } from "../support/eventually.ts";
import { onnxOf } from "../support/onnx-files.ts";
import { buyWith } from "../support/buy.ts";

const MODELS = join(import.meta.dirname, "../../models");

let market: Market;
beforeAll(async () => {
  market = await openMarket();
});
afterAll(() => market.stop());

type Replay = NonNullable<Config["verification"]["replay"]>;
const replaying =
  (file = "eth-risk.onnx", every = 1, more: Partial<Replay> = {}) =>
  (config: Config): void => {
    config.verification.replay = { models: { "eth-risk": join(MODELS, file) }, every, seconds: 20, ...more };
  };

async function buy(buyer: Buyer, seller = "honest"): Promise<BuyResult> {
  const result = await buyWith(buyer, {
    model: "eth-risk",
    seller,
    input: ETH_FEATURES,
    idempotencyKey: crypto.randomUUID(),
  });
  return result;
}
const settle = async (buyer: Buyer, { receipt }: BuyResult): Promise<Receipt> =>
  buyer.getReceipt(receipt.id, { waitSeconds: 120 });
const replayIn = ({ later }: Receipt): ReplayEvidence | undefined =>
  later.map(({ evidence }) => evidence).find((one): one is ReplayEvidence => one.kind === "replay.onnx");

describe("an answer computed again by its buyer", () => {
  test("is waited for, passes where it is the same, and raises no assurance", async () => {
    const buyer = await market.buyer(replaying());
    const bought = await buy(buyer);
    expect(bought.appraisal.layers.computation).toMatchObject({ status: "pending", code: "awaiting_replay" });
    const receipt = await settle(buyer, bought);
    expect(newestAppraisal(receipt)).toMatchObject({
      verdict: "verified",
      assurance: "attested",
      replayed: true,
      layers: { computation: { status: "pass", code: "replay_matched" } },
    });
    expect(replayIn(receipt)?.runtime.name).toBe("onnxruntime-node");
    // Whoever wants a proof is not served by it.
    const proven = await buyer.verify(receipt, { assurance: "proven" });
    expect([proven.verdict, proven.assurance]).toEqual(["unverified", "attested"]);
  });

  test("fails where the seller changed it, both answers kept", async () => {
    const buyer = await market.buyer(replaying());
    const bought = await buy(buyer, "tampering");
    const receipt = await new Promise<Receipt>((resolve) => {
      const unsubscribe = buyer.onReceipt((one) => {
        if (one.id !== bought.receipt.id || replayIn(one) === undefined) return;
        unsubscribe();
        resolve(one);
      });
    });
    expect(newestAppraisal(receipt).layers.computation).toMatchObject({ status: "fail", code: "replay_mismatch" });
    expect(newestAppraisal(receipt).replayed).toBe(false);
    expect(receipt.core.response.body).toBeDefined();
    expect(replayIn(receipt)?.outputs?.length).toBeGreaterThan(0);
  });

  test("condemns a seller that proves nothing at all, too, and puts it on hold", async () => {
    const { origin } = market.devnet.sellers.unattested;
    const served = await serveLocally(
      tampering(async (request) => {
        const { pathname, search } = new URL(request.url);
        const headers = new Headers(request.headers);
        for (const name of ["host", "connection", "content-length"]) headers.delete(name);
        const body = request.method === "POST" ? { body: await request.text() } : {};
        const answer = await fetch(`${origin}${pathname}${search}`, { method: request.method, headers, ...body });
        const given = new Headers(answer.headers);
        for (const name of ["content-length", "connection", "transfer-encoding"]) given.delete(name);
        return new Response(await answer.arrayBuffer(), { status: answer.status, headers: given });
      }),
    );
    const buyer = await market.buyer((config) => {
      replaying()(config);
      config.sellers = config.sellers.filter(({ id }) => id === "unattested");
      for (const seller of config.sellers) seller.origin = served.origin;
    });
    const failed = new Promise<Receipt>((resolve) => {
      const unsubscribe = buyer.onReceipt((one) => {
        if (newestAppraisal(one).verdict !== "failed") return;
        unsubscribe();
        resolve(one);
      });
    });
    await buyWith(buyer, {
      model: "eth-risk",
      input: ETH_FEATURES,
      assurance: "none",
      idempotencyKey: crypto.randomUUID(),
    });
    expect(newestAppraisal(await failed).layers.computation.code).toBe("replay_mismatch");
    expect((await buyer.sellers())[0]?.hold?.reason).toContain("replay_mismatch");
    await buyer.close();
    await served.stop();
  });

  test("is skipped, with the reason, where the file here is of another model, and the verdict stands without it", async () => {
    const buyer = await market.buyer(replaying("payroll-check.onnx"));
    const receipt = await settle(buyer, await buy(buyer));
    const { verdict, replayed, layers } = newestAppraisal(receipt);
    expect([verdict, replayed]).toEqual(["verified", false]);
    expect(layers.computation).toMatchObject({ status: "skip", code: "not_replayed" });
    expect(layers.computation.note).toContain("model_digest_mismatch");
  });

  test("is drawn one in so many, and only for models that are held", async () => {
    const rarely = await market.buyer(replaying("eth-risk.onnx", 1_000_000));
    const receipt = await settle(rarely, await buy(rarely));
    expect(newestAppraisal(receipt).layers.computation.code).toBe("no_evidence");
    expect(replayIn(receipt)).toBeUndefined();
  });
});

describe("which answers are computed again", () => {
  const codeOf = async (more: Partial<Replay>, change: (config: Config) => void = () => undefined) => {
    const buyer = await market.buyer((config) => {
      replaying("eth-risk.onnx", 1_000_000, more)(config);
      change(config);
    });
    return newestAppraisal(await settle(buyer, await buy(buyer))).layers.computation.code;
  };

  test("each that cost more than so many dollars, and no other", async () => {
    // The price is one cent.
    expect(await codeOf({ aboveUsd: 0.009999 })).toBe("replay_matched");
    expect(await codeOf({ aboveUsd: 0.01 })).toBe("no_evidence");
  });

  test("each that was paid in what is not dollars, for nobody knows what it cost", async () => {
    const unstable = (config: Config): void => {
      for (const asset of config.payment.assets) asset.usdStable = false;
    };
    expect(await codeOf({ aboveUsd: 1_000_000 }, unstable)).toBe("replay_matched");
  });
});

describe("somebody else's re-execution", () => {
  test("is believed of nobody: not of an imported file, nor of one's own receipt with another replay in it", async () => {
    const buyer = await market.buyer(replaying());
    const receipt = await settle(buyer, await buy(buyer));
    const stranger = await market.buyer();
    const imported = newestAppraisal(await stranger.importReceipt(receipt));
    expect(imported.replayed).toBe(false);
    expect(imported.layers.computation).toMatchObject({ status: "skip", code: "replay_not_ours" });

    const forged = structuredClone(receipt);
    const replay = replayIn(forged);
    if (replay !== undefined) replay.runtime.version = "0.0.0";
    expect((await buyer.verify(forged)).layers.computation.code).toBe("replay_not_ours");
    expect((await buyer.verify(receipt)).replayed).toBe(true);
  });

  test("with any number, name, type or shape changed does not pass, even if it were one's own", async () => {
    const buyer = await market.buyer(replaying());
    const receipt = await settle(buyer, await buy(buyer));
    const models = Object.fromEntries([["eth-risk", replayIn(receipt)?.modelSha256 ?? ""]]);
    const policy = appraisalPolicySchema.parse({ sellers: { [receipt.core.seller.id]: { models } } });
    const judged = (change: (replay: ReplayEvidence) => void): string | undefined => {
      const copy = structuredClone(receipt);
      const replay = replayIn(copy);
      if (replay === undefined) throw new Error("it was replayed");
      change(replay);
      return judgeReplay(copy, policy, () => true)?.status;
    };
    expect(judged(() => undefined)).toBe("pass");
    const outputs = replayIn(receipt)?.outputs ?? [];
    const changes: ((replay: ReplayEvidence) => void)[] = [
      (replay) => (replay.modelSha256 = "ab".repeat(32)),
      (replay) => replay.outputs!.pop(),
      ...outputs.flatMap((output, at): ((replay: ReplayEvidence) => void)[] => [
        (replay) => (replay.outputs![at]!.name = "other"),
        (replay) => (replay.outputs![at]!.datatype = "FP64"),
        (replay) => replay.outputs![at]!.shape.push(1),
        (replay) => (replay.outputs![at]!.data as unknown[]).push(0),
        ...output.data.map((_, place) => (replay: ReplayEvidence) => {
          replay.outputs![at]!.data[place] = Number(replay.outputs![at]!.data[place]) + 0.01;
        }),
      ]),
    ];
    for (const change of changes) expect(judged(change)).toBe("fail");
  });

  test("T72: that is too long to keep counts as it was compared, within the tolerance it was compared in", async () => {
    const buyer = await market.buyer(replaying());
    const receipt = await settle(buyer, await buy(buyer));
    const modelSha256 = replayIn(receipt)?.modelSha256 ?? "";
    const sellers = { honest: { models: { "eth-risk": modelSha256 } } };
    const policy = appraisalPolicySchema.parse({ sellers });
    const judged = (difference: string | null, tolerance = policy.replayTolerance, own = true) => {
      const copy = structuredClone(receipt);
      const replay = replayIn(copy);
      if (replay === undefined) throw new Error("it was replayed");
      delete replay.outputs;
      replay.compared = { outputsSha256: "00".repeat(32), tolerance, difference };
      return judgeReplay(copy, policy, () => own);
    };
    expect(judged(null)).toMatchObject({ status: "pass", code: "replay_matched" });
    expect(judged("element 7 of tensor 0 differs")).toMatchObject({ status: "fail", code: "replay_mismatch" });
    expect(judged(null, { absolute: 1, relative: 1 })).toMatchObject({ status: "skip", code: "replay_tolerance" });
    expect(judged(null, policy.replayTolerance, false)).toMatchObject({ status: "skip", code: "replay_not_ours" });
  });
});

test("T72: of 24,000 numbers a receipt keeps their hash and how they compared, and stays readable", async () => {
  const file = onnxOf([{ op: "Tile", inputs: ["x", "repeats"], output: "y" }]);
  const sha256 = createHash("sha256").update(file).digest("hex");
  const modelsDir = await mkdtemp(join(market.directory, "tile-"));
  await writeFile(join(modelsDir, "tile.onnx"), file);
  const description = { name: "tile", file: "tile.onnx", sha256, task: "t", description: "d" };
  await writeFile(join(modelsDir, "models.json"), JSON.stringify([description]));
  const { chainId, facilitatorUrl, config } = market.devnet;
  const [token] = config.payment?.assets ?? [];
  if (token === undefined) throw new Error("the devnet has a token");
  const payTo = `0x${"bb".repeat(20)}` as const;
  const node = await createInferenceNode({
    modelsDir,
    models: [{ name: "tile", price: "3000" }],
    enclave: null,
    payment: {
      network: `eip155:${chainId}`,
      asset: token.asset,
      domain: token.domain,
      payTo,
      facilitatorUrl,
    },
  });
  const served = await serveLocally(node.fetch);
  const buyer = await market.buyer((made) => {
    made.sellers = made.sellers.filter(({ id }) => id === "unattested");
    for (const seller of made.sellers) {
      Object.assign(seller, { origin: served.origin, payTo: [payTo] });
      seller.reference.models = { tile: sha256 };
    }
    made.verification.replay = { models: { tile: join(modelsDir, "tile.onnx") }, every: 1, seconds: 20 };
  });
  const bought = await buyWith(buyer, {
    model: "tile",
    input: { x: [[1, 2, 3]] },
    assurance: "none",
    idempotencyKey: crypto.randomUUID(),
  });
  const receipt = await eventually(async () => {
    const one = await buyer.getReceipt(bought.receipt.id);
    expect(replayIn(one)).toBeDefined();
    return one;
  });
  expect(replayIn(receipt)).toMatchObject({ modelSha256: sha256, compared: { difference: null } });
  expect(replayIn(receipt)?.outputs).toBeUndefined();
  expect(newestAppraisal(receipt).layers.computation).toMatchObject({ status: "pass", code: "replay_matched" });
  expect(parseReceipt(serializeReceipt(receipt)).ok).toBe(true);
  await buyer.close();
  await served.stop();
  await node.close();
});
