import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { trainTask } from "../../scripts/train-models.ts";
import { half } from "../support/campaign.ts";
import { predict, seeded } from "../../scripts/training/mlp.ts";
import { TASKS } from "../../scripts/training/tasks.ts";
import { loadModel, type LoadedModel } from "../../src/onnx/inference.ts";
import { orderOf } from "../../src/node/mcp/order.ts";
import { packageModelsDirectory, readDescriptions } from "../../src/node/models.ts";
import { inferResponse, readInferRequest } from "../../src/node/oip.ts";

const directory = await packageModelsDirectory();
const descriptions = await readDescriptions(directory);
const models = new Map<string, LoadedModel>();
beforeAll(async () => {
  for (const description of descriptions) models.set(description.name, await loadModel(directory, description));
});
afterAll(() => Promise.all([...models.values()].map((model) => model.close())));

const modelOf = (name: string): LoadedModel => {
  const model = models.get(name);
  if (model === undefined) throw new Error(`no model ${name}`);
  return model;
};

describe("the models of the repository", () => {
  test.each(descriptions.map((one) => [one.name, one] as const))(
    "%s is the file that models.json names",
    async (_name, { file, sha256 }) => {
      expect(
        createHash("sha256")
          .update(await readFile(join(directory, file)))
          .digest("hex"),
      ).toBe(sha256);
    },
  );

  test.each(half(half(TASKS)).map((task) => [task.name, task] as const))(
    "%s is what the training script makes again, and onnxruntime answers as its own arithmetic does",
    async (name, task) => {
      const trained = trainTask(task);
      expect(trained.sha256, "stale: npm run generate:models").toBe(modelOf(name).sha256);
      const random = seeded(7);
      for (let i = 0; i < 100; i += 1) {
        const { x } = task.draw(random);
        const outputs = await modelOf(name).run([
          { name: "features", datatype: "FP32", shape: [1, x.length], data: x },
        ]);
        const answer = outputs.filter((output) => output.name !== "class").flatMap((output) => output.data.map(Number));
        const expected = predict(trained.model, x);
        for (const [unit, value] of answer.entries())
          expect(Math.abs(value - (expected[unit] ?? 0))).toBeLessThan(1e-3);
      }
    },
  );

  test("a file that is not the one named is refused", async () => {
    const [first] = descriptions;
    if (first === undefined) throw new Error("there are models");
    await expect(loadModel(directory, { ...first, sha256: "00".repeat(32) })).rejects.toMatchObject({
      code: "model_digest_mismatch",
    });
  });
});

describe("an inference request", () => {
  const good = { name: "features", shape: [1, 8], datatype: "FP32", data: [0, 0, 0, 0, 0, 0, 0, 0] };
  const read = (body: unknown) =>
    readInferRequest(
      modelOf("eth-risk"),
      new TextEncoder().encode(typeof body === "string" ? body : JSON.stringify(body)),
      8,
    );

  test.each([
    ["no JSON", "{"],
    ["no inputs", {}],
    ["an empty list", { inputs: [] }],
    ["an unknown input", { inputs: [{ ...good, name: "other" }] }],
    ["an input twice", { inputs: [good, good] }],
    ["another datatype", { inputs: [{ ...good, datatype: "INT64" }] }],
    ["another shape", { inputs: [{ ...good, shape: [8] }] }],
    ["a shape of nothing", { inputs: [{ ...good, shape: [0, 8], data: [] }] }],
    ["too few elements", { inputs: [{ ...good, data: [1] }] }],
    ["too many elements", { inputs: [{ ...good, data: Array(9).fill(0) }] }],
    ["text among numbers", { inputs: [{ ...good, data: ["a", 0, 0, 0, 0, 0, 0, 0] }] }],
    [
      "a number that is infinite",
      '{"inputs":[{"name":"features","shape":[1,8],"datatype":"FP32","data":[1e400,0,0,0,0,0,0,0]}]}',
    ],
    ["a number beyond 32 bits", { inputs: [{ ...good, data: [1e39, 0, 0, 0, 0, 0, 0, 0] }] }],
    ["a batch beyond all bounds", { inputs: [{ ...good, shape: [100_000, 8] }] }],
    ["an output the model lacks", { inputs: [good], outputs: [{ name: "other" }] }],
    ["its inputs twice", `{"inputs":[${JSON.stringify(good)}],"inputs":[${JSON.stringify(good)}]}`],
    ["its id twice", `{"id":"a","i\\u0064":"b","inputs":[${JSON.stringify(good)}]}`],
    ["an input's data twice", `{"inputs":[${JSON.stringify(good).slice(0, -1)},"data":[1,0,0,0,0,0,0,0]}]}`],
    ["a key of no object", `{"__proto__":{},"inputs":[${JSON.stringify(good)}]}`],
    ["an id of any length", { id: "x".repeat(200), inputs: [good] }],
  ])("with %s is refused with status 400 and a reason", (_name, body) => {
    expect(read(body)).toMatchObject({ status: 400, error: expect.stringMatching(/.{10}/) as string });
  });

  test("may nest its data, carry a batch, and ask for some outputs only", async () => {
    const request = read({
      id: "n",
      inputs: [{ ...good, shape: [2, 8], data: [good.data, good.data] }],
      outputs: [{ name: "class" }],
    });
    if ("error" in request) throw new Error(request.error);
    const model = modelOf("eth-risk");
    const response = inferResponse(model, request, await model.run(request.inputs));
    expect(JSON.parse(response)).toMatchObject({
      model_name: "eth-risk",
      id: "n",
      outputs: [{ name: "class", datatype: "INT64", shape: [2] }],
    });
  });

  test("is answered with integers as they are, also beyond what a double holds", () => {
    const request = read({ inputs: [good], outputs: [{ name: "class" }] });
    if ("error" in request) throw new Error(request.error);
    const answer = { name: "class", datatype: "INT64" as const, shape: [2], data: ["9007199254740993", -1] };
    expect(inferResponse(modelOf("eth-risk"), request, [answer])).toContain('"data":[9007199254740993,-1]');
  });

  test("over MCP is computed on the integers that stand in its signed part, not on rounded ones", () => {
    const model = { ...modelOf("eth-risk"), inputs: [{ name: "x", datatype: "INT64" as const, shape: [2] }] };
    const part = '{"name":"eth-risk","arguments":{"x":[9007199254740993,"-9007199254740993"]}}';
    const described = { task: "", description: "" };
    const { arguments: rounded } = JSON.parse(part) as { arguments: Record<string, unknown> };
    const order = orderOf({ model: { ...model, ...described, dimensions: {} }, price: "1", rows: 1 }, rounded, part);
    expect(order).toMatchObject({ request: { inputs: [{ data: ["9007199254740993", "-9007199254740993"] }] } });
  });

  test("may have first dimensions that differ, where the model does not name them alike", () => {
    const model = (shapes: number[][], names: (string | null)[][]): LoadedModel => ({
      ...modelOf("eth-risk"),
      inputs: shapes.map((shape, at) => ({ name: `x${at}`, datatype: "FP32", shape })),
      dimensions: Object.fromEntries(names.map((list, at) => [`x${at}`, list])),
    });
    const body = new TextEncoder().encode(
      JSON.stringify({
        inputs: [
          { name: "x0", shape: [1, 2], datatype: "FP32", data: [1, 2] },
          { name: "x1", shape: [2, 1], datatype: "FP32", data: [3, 4] },
        ],
      }),
    );
    const fixed = model(
      [
        [1, 2],
        [2, 1],
      ],
      [
        [null, null],
        [null, null],
      ],
    );
    expect(readInferRequest(fixed, body, 1)).toMatchObject({ rows: 1 });
    const free = [
      [-1, 2],
      [-1, 1],
    ];
    expect(
      readInferRequest(
        model(free, [
          ["N", null],
          ["M", null],
        ]),
        body,
        8,
      ),
    ).toMatchObject({ rows: 2 });
    expect(
      readInferRequest(
        model(free, [
          ["N", null],
          ["N", null],
        ]),
        body,
        8,
      ),
    ).toMatchObject({ status: 400 });
  });
});
