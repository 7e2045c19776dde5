import { createHash } from "node:crypto";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { appraisalPolicyOf } from "../../src/buyer/context.ts";
import type { Buyer } from "../../src/buyer/types.ts";
import type { Config } from "../../src/config/schema.ts";
import { fromBase64, fromUtf8, toBase64, utf8 } from "../../src/evidence/bytes.ts";
import {
  compileModel,
  createProver,
  createSigner,
  createSimulatedEnclave,
  createSimulatedRoot,
  generateSigningKey,
  type Prover,
} from "../../src/node/index.ts";
import { packModel } from "../../src/onnx/pack-model.ts";
import { serializeReceipt } from "../../src/receipts/receipt.ts";
import type { Assurance, Receipt } from "../../src/receipts/schema.ts";
import { verifyReceipt } from "../../src/verify/index.ts";
import { buyWith } from "../support/buy.ts";
import { openMarket, type Market } from "../support/devnet.ts";
import { resealed } from "../support/reseal.ts";
import { openSeller, type OwnSeller } from "../support/selling.ts";
import { WILD_MODELS } from "../support/wild-models.ts";

let market: Market;
let prover: Prover;
let nodes: OwnSeller[];
let buyer: Buyer;
let config: Config;

/** One market with two sellers of all models: one with a pinned key that proves what can be proved, one in an enclave. */
beforeAll(async () => {
  market = await openMarket();
  const { directory } = market;
  const descriptions = await Promise.all(
    WILD_MODELS.map(async ({ name, file, beside = {} }) => {
      for (const [other, data] of Object.entries(beside)) await writeFile(join(directory, other), data);
      const { bytes } = await packModel(file, directory);
      await writeFile(join(directory, `${name}.onnx`), bytes);
      const sha256 = createHash("sha256").update(bytes).digest("hex");
      return { name, file: `${name}.onnx`, sha256, task: "", description: "" };
    }),
  );
  const models = WILD_MODELS.map(({ name }) => ({ name, price: "1000" }));
  const sold = { modelsDir: directory, descriptions, models };
  prover = createProver();
  const proved = await compileModel(WILD_MODELS.at(-1)!.file, prover);
  const [signer, root] = [await createSigner(await generateSigningKey()), await createSimulatedRoot()];
  const enclave = await createSimulatedEnclave({ root });
  nodes = await Promise.all([
    openSeller(market, { ...sold, signer, proving: { prover, models: { perceptron: proved } } }),
    openSeller(market, { ...sold, enclave }),
  ]);
  const pinned = Object.fromEntries(descriptions.map(({ name, sha256 }) => [name, sha256]));
  const references = [
    { keyIds: [signer.keyId], proofs: { perceptron: proved.keySha256 } },
    { measurements: [enclave.measurements()] },
  ];
  buyer = await market.buyer((made) => {
    const [like] = made.sellers;
    config = Object.assign(made, {
      sellers: nodes.map(({ origin, payTo }, at) => ({
        ...like,
        id: at === 0 ? "keyed" : "enclaved",
        origin,
        payTo: [payTo.toLowerCase()],
        assurance: at === 0 ? "proven" : "attested",
        reference: { ...like!.reference, measurements: [], keyIds: [], models: pinned, relays: [], ...references[at] },
      })),
      verification: { ...made.verification, simulatedRoots: [root.sha256] },
    });
  });
});
afterAll(async () => {
  await Promise.all(nodes.map((node) => node.stop()));
  await prover.close();
  await market.stop();
});

/** The file with the first element of its answer changed, and every hash that takes no key made right again. */
function withOtherAnswer({ core, ...rest }: Receipt): Receipt | null {
  const text = fromUtf8(fromBase64(core.response.body!));
  const body = text.replace(/("data":\[-?)(true|false|"|\d)/, (_, before: string, first: string) => {
    const others: Record<string, string> = { true: "false", false: "true", '"': '"x', 1: "2" };
    return before + (others[first] ?? "1");
  });
  expect(body).not.toBe(text);
  return resealed({ ...rest, core: { ...core, response: { ...core.response, body: toBase64(utf8(body)) } } });
}

const LEVELS: [Assurance, string][] = [
  ["signed", "keyed"],
  ["attested", "enclaved"],
];
test.each(WILD_MODELS)("$name is bought, checked offline, and fails with another answer", async (model) => {
  const { answer: expected = expect.anything() } = model;
  const levels: typeof LEVELS = model.name === "perceptron" ? [...LEVELS, ["proven", "keyed"]] : LEVELS;
  const check = async ([assurance, seller]: (typeof LEVELS)[number]): Promise<void> => {
    const { answer, receipt } = await buyWith(buyer, {
      model: model.name,
      input: model.input,
      seller,
      assurance,
      idempotencyKey: `${assurance}-${model.name}`,
      wait: "verified",
    });
    expect(answer).toEqual(expected);
    const policy = { ...appraisalPolicyOf(config, assurance), reportedSuffices: true };
    const judged = async (file: Receipt) => (await verifyReceipt(serializeReceipt(file), policy)) as object;
    expect(await judged(receipt)).toMatchObject({ appraisal: { verdict: "verified", assurance } });
    expect(await judged(withOtherAnswer(receipt)!)).toMatchObject({ appraisal: { verdict: "failed" } });
  };
  await Promise.all(levels.map(check));
});
