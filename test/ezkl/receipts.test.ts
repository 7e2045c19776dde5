import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { openBuyer } from "../../src/buyer/open.ts";
import { configSchema, type ConfigInput } from "../../src/config/schema.ts";
import { newestAppraisal } from "../../src/receipts/newest.ts";
import { serializeReceipt } from "../../src/receipts/receipt.ts";
import type { Receipt } from "../../src/receipts/schema.ts";
import { runCli } from "../support/cli.ts";
import { evidenceOf, prove, referenceOf, setUp } from "../support/ezkl.ts";
import { CIRCUIT, fixtureOf, INPUT, receiptWith } from "../support/ezkl-purchase.ts";

let directory: string;
let receipt: Receipt;
let config: ConfigInput;
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "proof402-ezkl-receipts-"));
  const files = setUp(CIRCUIT);
  const { proof, outputs } = prove(files, INPUT);
  const fixture = await fixtureOf(INPUT, outputs);
  receipt = receiptWith(fixture, evidenceOf(files, proof));
  const { core } = receipt;
  const { network, asset } = core.payment;
  const { measurements, models } = fixture.policy.sellers["fixture"]!;
  const reference = { measurements, models, ezkl: { [core.request.model]: referenceOf(files) } };
  const most = { perCall: "1", perHour: "1", perDay: "1", total: "1" };
  config = {
    database: join(directory, "buyer.db"),
    networks: [{ network, rpcUrl: "http://127.0.0.1:9" }],
    payment: {
      assets: [{ network, asset, symbol: "USDC", decimals: 6, domain: { name: "USD Coin", version: "2" }, ...most }],
    },
    sellers: [
      {
        id: core.seller.id,
        provider: "oip",
        origin: core.seller.origin,
        payTo: [core.payment.payTo],
        assurance: "proven",
        reference,
      },
    ],
    verification: {
      assurance: "proven",
      simulatedRoots: fixture.policy.simulatedRoots,
      developmentSetups: true,
      // The receipt comes from elsewhere: what it tells of the chain has to do.
      reportedSuffices: true,
    },
  };
});
afterAll(() => rm(directory, { recursive: true, force: true }));

/** The receipt with another proof than the one that belongs to it. */
const spoiled = (): Receipt => ({
  ...receipt,
  later: receipt.later.map(({ at, evidence }) => {
    if (evidence.kind !== "zk.ezkl" || typeof evidence["proof"] !== "string") return { at, evidence };
    const text = Buffer.from(evidence["proof"], "base64").toString();
    const changed = text.replace(/"proof":\[(\d+)/, (_all, byte: string) => `"proof":[${Number(byte) ^ 1}`);
    expect(changed).not.toBe(text);
    return { at, evidence: { ...evidence, proof: Buffer.from(changed).toString("base64") } };
  }),
});

test("a buyer judges the EZKL proof of a receipt from elsewhere, and keeps it", async () => {
  const buyer = await openBuyer({ config: configSchema.parse(config), wallet: null });
  try {
    expect(await buyer.verify(receipt)).toMatchObject({
      verdict: "verified",
      assurance: "proven",
      layers: { computation: { status: "pass", code: "development_proof" } },
    });
    expect(await buyer.verify(spoiled())).toMatchObject({
      verdict: "failed",
      layers: { computation: { status: "fail", code: "proof_invalid" } },
    });
    const stored = await buyer.importReceipt(receipt);
    expect(newestAppraisal(stored).verdict).toBe("verified");
  } finally {
    await buyer.close();
  }
});

test("so does the command line, which waits for the engine, and without pins counts nothing", async () => {
  const path = join(directory, "proof402.config.json");
  await writeFile(path, JSON.stringify(config));
  const file = join(directory, "receipt.json");
  await writeFile(file, serializeReceipt(receipt));
  const verified = await runCli(["--config", path, "verify", file]);
  expect(verified.stdout).toContain("an EZKL proof names no request");
  expect(verified.code).toBe(0);
  await writeFile(file, serializeReceipt(spoiled()));
  expect((await runCli(["--config", path, "verify", file])).code).toBe(1);
  const unpinned = await runCli(["verify", file, "--json"], { cwd: tmpdir() });
  expect(unpinned.stdout).toContain("proof_key_not_pinned");
});
