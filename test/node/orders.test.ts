import type { PaymentRequirements } from "@x402/core/types";
import { createHash } from "node:crypto";
import { copyFile, mkdir, readFile, writeFile } from "node:fs/promises";
import { gzipSync } from "node:zlib";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { dueFor } from "../../src/node/payment-gate.ts";
import { packageModelsDirectory } from "../../src/node/models.ts";
import { ETH_FEATURES, openMarket, type Market } from "../support/devnet.ts";
import { TensorProto_DataType as DataType } from "../../src/onnx/onnx-proto.artifact.ts";
import { onnxOf } from "../support/onnx-files.ts";
import { floats, graphOf, modelOf, node, value } from "../support/onnx-messages.ts";
import { rpcInFront } from "../support/rpc.ts";
import { isUsed, openSeller, purseFor, requestOf, takenBy, type OwnSeller } from "../support/selling.ts";
import { payingFetch } from "../support/stock-client.ts";

let market: Market;
let plain: OwnSeller;
beforeAll(async () => {
  market = await openMarket();
  plain = await openSeller(market);
});
afterAll(async () => {
  await plain.stop();
  await market.stop();
});

const FEATURES = ETH_FEATURES.features;
const input = (change: object = {}) => ({
  name: "features",
  shape: [1, 8],
  datatype: "FP32",
  data: FEATURES,
  ...change,
});
const rows = (count: number) => ({
  inputs: [input({ shape: [count, 8], data: Array.from({ length: count }, () => FEATURES).flat() })],
});
const INFER = "/v2/models/eth-risk/infer";

type Answer = { id?: string; outputs: { name: string; shape: number[]; data: unknown[] }[] };
const post = (body: unknown, init: { headers?: Record<string, string>; send?: typeof fetch; path?: string } = {}) =>
  (init.send ?? fetch)(`${plain.origin}${init.path ?? INFER}`, {
    method: "POST",
    headers: { "content-type": "application/json", ...init.headers },
    body: typeof body === "string" || body instanceof Uint8Array ? (body as string) : JSON.stringify(body),
  });
async function buy(body: unknown, path = INFER): Promise<Answer> {
  const response = await post(body, { send: payingFetch(market).send, path });
  expect(response.status).toBe(200);
  return (await response.json()) as Answer;
}

describe("what can only be refused", () => {
  test.each<[string, unknown, number, Record<string, string>?]>([
    ["no JSON", "{", 400],
    ["another shape", { inputs: [input({ shape: [8] })] }, 400],
    ["another datatype", { inputs: [input({ datatype: "INT64" })] }, 400],
    ["numbers as texts", { inputs: [input({ data: FEATURES.map(String) })] }, 400],
    ["NaN", JSON.stringify({ inputs: [input()] }).replace(String(FEATURES[0]), "NaN"), 400],
    ["an input too many", { inputs: [input(), input({ name: "extra" })] }, 400],
    [
      "a classification wanted",
      { inputs: [input()], outputs: [{ name: "probabilities", parameters: { classification: 2 } }] },
      400,
    ],
    ["data in shared memory", { inputs: [input({ parameters: { shared_memory_region: "r" } })] }, 400],
    ["binary tensor data", '{"inputs":[]}1234', 415, { "inference-header-content-length": "13" }],
    ["a compressed body", gzipSync(requestOf()), 415, { "content-encoding": "gzip" }],
    ["more rows than the price covers", rows(9), 400],
    ["a body beyond all bounds", "x".repeat(1_000_001), 413],
  ])(
    "T50: %s is refused before it is asked to pay, and costs nothing with a payment",
    async (_what, body, status, headers = {}) => {
      const unpaid = await post(body, { headers });
      expect(unpaid.status).toBe(status);
      expect(unpaid.headers.get("payment-required")).toBeNull();
      expect(await unpaid.json()).toMatchObject({ error: expect.stringMatching(/.{10}/) as string });
      const before = await takenBy(market, plain);
      const { header } = await purseFor(market, plain.origin);
      expect((await post(body, { headers: { ...headers, "payment-signature": header } })).status).toBe(status);
      expect(await takenBy(market, plain)).toBe(before);
    },
  );

  test("T50: an unknown model, and an unknown version of a known one", async () => {
    for (const path of [
      "/v2/models/nothing/infer",
      "/v2/models/ETH-RISK/infer",
      "/v2/models/eth-risk/versions/1/infer",
    ])
      expect((await post(rows(1), { path })).status).toBe(404);
    expect((await fetch(`${plain.origin}/v2/models/eth-risk/versions/1`)).status).toBe(404);
  });
});

describe("what a price buys", () => {
  test("T50: as many rows as its seller says, and no more", async () => {
    expect((await buy(rows(8))).outputs[0]?.shape).toEqual([8, 3]);
    const one = await openSeller(market, { models: [{ name: "eth-risk", price: "10000", rows: 1 }] });
    const { header } = await purseFor(market, one.origin);
    const asked = (count: number) =>
      fetch(`${one.origin}${INFER}`, {
        method: "POST",
        headers: { "payment-signature": header },
        body: JSON.stringify(rows(count)),
      });
    expect((await asked(2)).status).toBe(400);
    expect((await asked(1)).status).toBe(200);
    expect(await takenBy(market, one)).toBe(10_000n);
    await one.stop();
  });

  test("T50: under upto its rows' part of the price, rounded up, and never more than it", () => {
    const terms = (amount: string): PaymentRequirements => ({
      scheme: "upto",
      network: `eip155:${market.devnet.chainId}`,
      asset: market.devnet.token,
      amount,
      payTo: plain.payTo,
      maxTimeoutSeconds: 60,
      extra: { assetTransferMethod: "permit2" },
    });
    expect([1, 3, 8].map((count) => dueFor(terms("10000"), count, 8))).toEqual(["1250", "3750", "10000"]);
    expect(["9", "8", "5", "1", "0"].map((amount) => dueFor(terms(amount), 1, 8))).toEqual(["2", "1", "1", "1", "0"]);
    expect(dueFor({ ...terms("10000"), scheme: "exact" }, 1, 8)).toBe("10000");
  });

  test("T50: one model, for names that are equal but for case are refused", async () => {
    const directory = join(market.directory, "two-names");
    await mkdir(directory);
    const models = await packageModelsDirectory();
    await copyFile(join(models, "eth-risk.onnx"), join(directory, "eth-risk.onnx"));
    const [eth] = JSON.parse(await readFile(join(models, "models.json"), "utf8")) as object[];
    await writeFile(
      join(directory, "models.json"),
      JSON.stringify([
        { ...eth, name: "risk" },
        { ...eth, name: "RISK" },
      ]),
    );
    for (const second of ["RISK", "risk"]) {
      const opened = openSeller(market, {
        modelsDir: directory,
        models: [
          { name: "risk", price: "10" },
          { name: second, price: "90000" },
        ],
      });
      await expect(opened).rejects.toMatchObject({ code: "model_name_ambiguous" });
    }
  });

  test("in whole base units, for at least one row", async () => {
    for (const wrong of [{ price: "1.5" }, { price: "-1" }, { price: "1e3" }, { price: "1", rows: 0 }])
      await expect(openSeller(market, { models: [{ name: "eth-risk", ...wrong }] })).rejects.toMatchObject({
        code: "price_invalid",
      });
  });

  test.each(["0x1", "0x20000000000007a69", "0x", "-0x7a69", 31337])(
    "T37: and by no RPC that names its chain %j",
    async (result) => {
      const rpc = await rpcInFront(market.devnet.rpcUrl, ({ method }) =>
        method === "eth_chainId" ? { result } : undefined,
      );
      await expect(openSeller(market, { payment: { rpcUrl: rpc.url } })).rejects.toMatchObject({ code: "wrong_chain" });
    },
  );

  test("and with an RPC that is away, which may come back", async () => {
    const seller = await openSeller(market, { payment: { rpcUrl: "http://127.0.0.1:9" } });
    expect((await fetch(`${seller.origin}/v2/health/ready`)).status).toBe(200);
    await seller.stop();
  });

  test("and confirmations only on a chain that is read", async () => {
    const { facilitatorUrl } = market.devnet;
    const payment = { confirmations: 1, facilitatorUrl };
    await expect(openSeller(market, { payment: { ...payment, rpcUrl: undefined } })).rejects.toMatchObject({
      code: "rpc_missing",
    });
  });
});

test("an order that the model answers 422 is uncharged, and its payment buys another", async () => {
  // The model looks a number up by its place, and there is none at 7.
  const file = modelOf(
    graphOf([node("Gather", ["table", "x"], "y")], [floats("table", [3], 10, 20, 30)], {
      input: [value("x", [], DataType.INT64)],
      output: [value("y", [])],
    }),
  );
  await writeFile(join(market.directory, "lookup.onnx"), file);
  const sha256 = createHash("sha256").update(file).digest("hex");
  const described = { name: "eth-risk", file: "lookup.onnx", sha256, task: "", description: "" };
  const seller = await openSeller(market, { modelsDir: market.directory, descriptions: [described] });
  const at = (place: number) =>
    JSON.stringify({ inputs: [{ name: "x", shape: [1], datatype: "INT64", data: [place] }] });
  const purse = await purseFor(market, seller.origin, { request: at(7) });
  const refused = await purse.post(at(7));
  expect(refused).toMatchObject({ status: 422, text: expect.stringContaining("nothing was charged"), payment: null });
  expect([await takenBy(market, seller), await isUsed(market, purse)]).toEqual([0n, false]);
  const { status, text } = await purse.post(at(2));
  expect([status, text]).toEqual([200, expect.stringContaining('"data":[30]')]);
  expect(await takenBy(market, seller)).toBe(10_000n);
  await seller.stop();
});

describe("the Open Inference Protocol", () => {
  test("tells the price to an empty request, which is not taken for one once it is paid", async () => {
    for (const body of ["", "{}"]) {
      expect((await post(body)).status).toBe(402);
      const { header } = await purseFor(market, plain.origin);
      expect((await post(body, { headers: { "payment-signature": header } })).status).toBe(400);
    }
  });

  test("by versions, with nothing asked for in particular, and with null where there is nothing to say", async () => {
    const described = (await (await fetch(`${plain.origin}/v2/models/eth-risk`)).json()) as { versions: string[] };
    const at = `/v2/models/eth-risk/versions/${described.versions[0]}`;
    expect(await (await fetch(`${plain.origin}${at}`)).json()).toEqual(described);
    expect((await fetch(`${plain.origin}${at}/ready`)).status).toBe(200);
    const all = ["probabilities", "class"];
    const answers = [
      await buy({ inputs: [input()] }, `${at}/infer`),
      await buy({ inputs: [input()], outputs: [] }),
      await buy({ id: null, parameters: null, outputs: null, inputs: [input({ parameters: null })] }),
      await buy({ inputs: [input()] }, "/v2/models/eth%2Drisk/infer"),
    ];
    for (const answer of answers) {
      expect(answer.outputs.map(({ name }) => name)).toEqual(all);
      expect("id" in answer).toBe(false);
    }
    const chosen = await buy({
      id: "42",
      inputs: [input()],
      outputs: [{ name: "class", parameters: { binary_data: false } }],
    });
    expect(chosen).toMatchObject({ id: "42", outputs: [{ name: "class" }] });
  });

  test("lists its models to clients that ask for the repository", async () => {
    const response = await fetch(`${plain.origin}/v2/repository/index`, { method: "POST", body: "{}" });
    expect(await response.json()).toMatchObject([{ name: "eth-risk", state: "READY" }]);
  });

  test("says in the body of a 402 what its header says", async () => {
    const response = await post(rows(1));
    expect(response.status).toBe(402);
    const header = JSON.parse(
      Buffer.from(response.headers.get("payment-required") ?? "", "base64").toString(),
    ) as object;
    expect(await response.json()).toEqual(header);
  });

  test("sells an answer of NaN and infinities, each as a text that JSON carries", async () => {
    const directory = join(market.directory, "log");
    await mkdir(directory);
    const file = onnxOf([{ op: "Log", inputs: ["x"], output: "y" }]);
    await writeFile(join(directory, "log.onnx"), file);
    const sha256 = createHash("sha256").update(file).digest("hex");
    const described = { name: "eth-risk", file: "log.onnx", sha256, task: "", description: "" };
    await writeFile(join(directory, "models.json"), JSON.stringify([described]));
    const seller = await openSeller(market, { modelsDir: directory });
    const body = (x: number[]) => JSON.stringify({ inputs: [{ name: "x", shape: [1, 3], datatype: "FP32", data: x }] });
    const purse = await purseFor(market, seller.origin, { request: body([-1, 0, 1]) });
    const { status, text } = await purse.post(body([-1, 0, 1]));
    expect([status, text]).toEqual([200, expect.stringContaining('"data":["NaN","-Infinity",0]')]);
    expect(await takenBy(market, seller)).toBe(10_000n);
    await seller.stop();
  });
});
