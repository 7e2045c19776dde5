import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { tool } from "@langchain/core/tools";
import type { ToolMessage } from "@langchain/core/messages";
import { afterAll, beforeAll, expect, test, vi } from "vitest";
import { z } from "zod";
import { openBuyer } from "../../src/buyer/open.ts";
import type { Buyer } from "../../src/buyer/types.ts";
import { appraisalPolicyOf } from "../../src/buyer/context.ts";
import type { ConfigInput } from "../../src/config/schema.ts";
import { writeDevnet } from "../../src/devnet/index.ts";
import type { Hex } from "../../src/evidence/bytes.ts";
import type { PublishedBatch } from "../../src/evidence/inclusion.ts";
import { guardTool } from "../../src/langchain/index.ts";
import { loadConfig } from "../../src/config/load.ts";
import { walletFromPrivateKey } from "../../src/payment/wallet.ts";
import { digestOf } from "../../src/receipts/log-digest.ts";
import { newestAppraisal } from "../../src/receipts/newest.ts";
import { parseReceipt } from "../../src/receipts/receipt.ts";
import type { Receipt } from "../../src/receipts/schema.ts";
import { openDatabase } from "../../src/storage/database.ts";
import { getReceipt } from "../../src/tools/get-receipt.ts";
import { verifyReceipt as verifyTool } from "../../src/tools/index.ts";
import { verifyReceipt } from "../../src/verify/index.ts";
import { runCli } from "../support/cli.ts";
import { ETH_FEATURES, openMarket, type Market, writeVariant } from "../support/devnet.ts";
import { infront } from "../support/infront.ts";
import { buyWith } from "../support/buy.ts";

let market: Market;
let config: string;
const ends: (() => Promise<void>)[] = [];
beforeAll(async () => {
  market = await openMarket();
  ({ config } = await writeDevnet(market.devnet, market.directory));
});
afterAll(async () => {
  for (const end of ends.toReversed()) await end();
  await market.stop();
});

type Value = PublishedBatch["values"][number]["value"];
const OTHER: Hex = `0x${"5e".repeat(32)}`;

/** A configuration of its own for a buyer of that name, with a change. */
async function configured(name: string, change: (written: ConfigInput) => void = () => undefined): Promise<string> {
  return writeVariant(config, join(market.directory, `${name}.config.json`), (written) => {
    written.database = `${name}.db`;
    change(written);
  });
}

/** A seller whose published batches are changed, a buyer of it, and what that one bought. */
async function boughtFrom(name: string, change: (values: Value[]) => Value[]) {
  const { origin } = market.devnet.sellers.honest;
  const front = await infront(origin, async (path) => {
    if (!path.startsWith("/v1/batches/")) return null;
    const batch = (await (await fetch(`${origin}${path}`)).json()) as PublishedBatch;
    const values = change(batch.values.map(({ value }) => value));
    return Response.json({ ...batch, values: values.map((value, treeIndex) => ({ treeIndex, value })) });
  });
  ends.push(front.stop);
  const path = await configured(name, (written) => {
    written.sellers = written.sellers.filter(({ id }) => id === "honest");
    written.sellers[0]!.origin = front.origin;
  });
  const loaded = await loadConfig({ path });
  const buyer = await openBuyer({ config: loaded, wallet: walletFromPrivateKey(market.devnet.privateKey) });
  ends.push(() => buyer.close());
  const result = await buyWith(buyer, {
    model: "eth-risk",
    input: ETH_FEATURES,
    wait: "verified",
    idempotencyKey: name,
  });
  return { path, loaded, buyer, id: result.receipt.id };
}

/** What a guarded tool answers to a receipt. */
async function guarded(buyer: Buyer, id: string): Promise<unknown> {
  const pay = tool(() => "paid", { name: "pay", description: "pays", schema: z.strictObject({}) });
  const options = { buyer, assurance: "attested", maxAge: 3600, allowSimulated: true, bind: () => true } as const;
  const call = { type: "tool_call", id: "1", name: "pay", args: { receipt_id: id } } as const;
  const message = (await guardTool(pay, options).invoke(call)) as ToolMessage;
  return (message.artifact as { error?: { code: unknown } }).error?.code ?? message.text;
}

test.each<[string, (values: Value[]) => Value[]]>([
  ["leaf_changed", (values) => values.map(([tee, input, _output, ...rest]) => [tee, input, OTHER, ...rest])],
  ["leaf_missing", (values) => values.map(([tee, _input, output, ...rest]) => [tee, OTHER, output, ...rest])],
  ["leaf_signature_mismatch", (values) => values.map(([a, b, c, _signature, at]) => [a, b, c, "0x5e", at])],
  ["batch_root_mismatch", (values) => [...values, ...values.slice(0, 1).map<Value>(([, ...rest]) => [OTHER, ...rest])]],
])("T67: a batch with %s condemns the receipt on every surface", async (code, change) => {
  const { path, loaded, buyer, id } = await boughtFrom(code, change);
  await vi.waitFor(
    async () =>
      expect(newestAppraisal(await buyer.getReceipt(id)).layers.inclusion).toMatchObject({ status: "fail", code }),
    { timeout: 150_000 },
  );
  const evidence = { kind: "contradiction", layer: "inclusion", code };
  const contradictions = ({ later }: Receipt): unknown[] =>
    later.flatMap((one) => (one.evidence.kind === "contradiction" ? [one.evidence] : []));
  // The store, and its log.
  const stored = await buyer.getReceipt(id);
  expect(contradictions(stored)).toEqual([evidence]);
  expect(newestAppraisal(stored).verdict).toBe("failed");
  expect(await buyer.audit()).toMatchObject({ ok: true });
  const db = await openDatabase(loaded.database);
  const digests = stored.later.filter((one) => one.evidence.kind === "contradiction").map(digestOf);
  const logged = await db.selectFrom("log").select("kind").where("digest", "in", digests).execute();
  await db.destroy();
  expect(logged).toEqual([{ kind: "later" }]);
  // The tools and the guard.
  const context = { buyer, clock: () => new Date() };
  const failed = { status: "ok", data: { receipt: { verdict: "failed", layers: { inclusion: "fail" } } } };
  expect(await getReceipt.run(context, { id })).toMatchObject(failed);
  expect(await verifyTool.run(context, { id })).toMatchObject(failed);
  expect(await guarded(buyer, id)).toBe("receipt_not_verified");
  // The exported file: what it holds, the library, and the command line by id and by file, with this store and without one.
  const file = join(market.directory, `${code}.json`);
  expect((await runCli(["--config", path, "receipts", "export", id, file])).code).toBe(0);
  const text = await readFile(file, "utf8");
  const parsed = parseReceipt(text);
  expect(parsed.ok && contradictions(parsed.receipt)).toEqual([evidence]);
  expect(await verifyTool.run(context, { content: text })).toMatchObject(failed);
  const policy = { ...appraisalPolicyOf(loaded, "attested"), reportedSuffices: true };
  expect(await verifyReceipt(text, policy)).toMatchObject({
    appraisal: { verdict: "failed", layers: { inclusion: { status: "fail", code } } },
  });
  const elsewhere = await configured(`elsewhere-${code}`, (written) => {
    written.sellers = written.sellers.filter((one) => one.id === "honest");
    written.sellers[0]!.origin = stored.core.seller.origin;
    written.verification = { ...written.verification, reportedSuffices: true };
  });
  expect((await runCli(["--config", path, "verify", id])).code).toBe(1);
  expect((await runCli(["--config", path, "verify", file])).code).toBe(1);
  expect((await runCli(["--config", elsewhere, "verify", file])).code).toBe(1);
});
