import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { configSchema } from "../../src/config/schema.ts";
import { writeDevnet } from "../../src/devnet/index.ts";
import { parseReceipt, serializeReceipt } from "../../src/receipts/receipt.ts";
import type { Evidence, InclusionEvidence, Receipt, SettlementEvidence } from "../../src/receipts/schema.ts";
import { inclusionLeafOf } from "../../src/verify/layers/inclusion.ts";
import { buyWith } from "../support/buy.ts";
import { runCli } from "../support/cli.ts";
import { ETH_FEATURES, openMarket, type Market } from "../support/devnet.ts";
import { eventually } from "../support/eventually.ts";
import { inclusionOf, neighbours, settlementLog } from "../support/inclusion.ts";

let market: Market;
/** A configuration whose database holds nothing, and under which a file's word of the chain suffices. */
let stranger: string;
/** A settled receipt without an inclusion. */
let receipt: Receipt;

beforeAll(async () => {
  market = await openMarket();
  const { config } = await writeDevnet(market.devnet, market.directory);
  const cli = (...args: string[]) => runCli(["--config", config, ...args]);
  const input = JSON.stringify(ETH_FEATURES);
  const bought = await cli("buy", "eth-risk", "--input", input, "--json", "--seller", "honest", "--wait", "verified");
  const { id } = (JSON.parse(bought.stdout) as { receipt: { id: string } }).receipt;
  const file = join(market.directory, "receipt.json");
  await cli("receipts", "export", id, file);
  const parsed = parseReceipt(await readFile(file));
  if (!parsed.ok) throw new Error(parsed.message);
  const later = parsed.receipt.later.filter(({ evidence }) => evidence.kind === "settlement.x402");
  receipt = { ...parsed.receipt, later };
  const written = configSchema.parse(JSON.parse(await readFile(config, "utf8")));
  stranger = join(market.directory, "stranger.config.json");
  const verification = { ...written.verification, reportedSuffices: true };
  await writeFile(stranger, JSON.stringify({ ...written, verification, database: "/nonexistent/directory/x.db" }));
});
afterAll(() => market.stop());

/** How the command ends for a receipt's file, and what it says of one layer. */
async function verified(
  one: Receipt,
  layer: "settlement" | "inclusion",
  ...options: string[]
): Promise<{ exit: number; code: string | undefined }> {
  const file = join(market.directory, `${crypto.randomUUID()}.json`);
  await writeFile(file, serializeReceipt(one));
  const { code: exit, stdout } = await runCli(["--config", stranger, "verify", file, "--json", ...options]);
  const { layers } = JSON.parse(stdout) as { layers: Record<string, { code: string }> };
  return { exit: exit ?? -1, code: layers[layer]?.code };
}

const settlementIn = (one: Receipt): SettlementEvidence =>
  one.later.map(({ evidence }) => evidence).find((one): one is SettlementEvidence => one.kind === "settlement.x402")!;

test.each<[string, string, (told: SettlementEvidence, receipt: Receipt) => void]>([
  [
    "logs of another amount to another",
    "transfer_mismatch",
    ({ logs }) => (logs.at(-1)!.data = `0x${"01".padStart(64, "0")}`),
  ],
  ["no logs", "authorization_not_used", ({ logs }) => logs.splice(0)],
  ["a block of another day", "settlement_time", (told) => (told.blockTime -= 86_400)],
  ["another block's number", "settlement_not_on_chain", (told) => (told.blockNumber = "1")],
  ["another block's hash", "settlement_not_on_chain", (told) => (told.blockHash = `0x${"00".repeat(32)}`)],
  ["another place of a log", "settlement_not_on_chain", ({ logs }) => (logs[0]!.logIndex += 1)],
  [
    "two settlements of one payment",
    "ambiguous_evidence",
    (told, { later }) => later.push({ at: later[0]!.at, evidence: { ...told, blockNumber: "1" } }),
  ],
])("T96: reading the chain again never ends well for a file that tells of %s", async (_name, code, change) => {
  const told = structuredClone(receipt);
  change(settlementIn(told), told);
  expect(await verified(told, "settlement", "--online")).toEqual({ exit: 1, code });
});

test.each<[string, string, (told: InclusionEvidence) => void]>([
  ["a transaction that never was", "not_anchored", (told) => (told.blockNumber = "1")],
  ["a block to come, of a time that has been", "not_anchored", (told) => (told.blockTime -= 30)],
  ["a transaction at another contract", "contract_mismatch", ({ log }) => (log.address = `0x${"12".repeat(20)}`)],
])(
  "T96: reading the chain again never ends well for a file that tells of an anchoring in %s",
  async (_name, code, change) => {
    const later = [...receipt.later, anchoredIn("9999999", change)];
    expect(await verified({ ...receipt, later }, "inclusion", "--online")).toEqual({ exit: 1, code });
  },
);

test("T96: a verdict waits for an anchoring in a block that one's own node has not seen", async () => {
  const later = [...receipt.later, anchoredIn("9999999", (told) => (told.blockTime += 1_000_000))];
  const waiting = { exit: 2, code: "inclusion_not_confirmed" };
  expect(await verified({ ...receipt, later }, "inclusion", "--online")).toEqual(waiting);
});

/** An anchoring that never was, at the pinned contract. */
function anchoredIn(blockNumber: string, change: (told: InclusionEvidence) => void): Receipt["later"][number] {
  const told = inclusionOf(inclusionLeafOf(receipt)!, neighbours(2));
  const [relay] = market.devnet.config.sellers?.find(({ id }) => id === "honest")?.reference?.relays ?? [];
  Object.assign(told, {
    blockNumber,
    network: relay!.network,
    log: settlementLog(told.root, told.count, relay!.contract),
  });
  change(told);
  return { at: receipt.core.response.receivedAt, evidence: told };
}

test("reading the chain again ends well for a file that tells what the chain shows", async () => {
  expect(await verified(receipt, "settlement", "--online")).toEqual({ exit: 0, code: "ok" });
});

test("T98: reading the chain again ends a dispute, by the piece that the chain shows", async () => {
  const buyer = await market.buyer();
  const key = crypto.randomUUID();
  const call = {
    model: "eth-risk",
    input: ETH_FEATURES,
    seller: "honest",
    idempotencyKey: key,
    wait: "verified",
  } as const;
  const { id } = (await buyWith(buyer, call)).receipt;
  await eventually(async () => expect((await buyer.getReceipt(id)).later.map(kindOf)).toContain("inclusion.merkle"));
  const bought = await buyer.getReceipt(id);
  const settlement = settlementIn(bought);
  const anchoring = bought.later.map(({ evidence }) => evidence).find(isInclusion)!;
  const told = (...pieces: Evidence[]): Receipt => {
    const markers = (["settlement.x402", "inclusion.merkle"] as const).map((of): Evidence => ({
      kind: "disputed",
      of,
    }));
    const at = bought.core.response.receivedAt;
    return { ...bought, appraisals: [], later: [...pieces, ...markers].map((evidence) => ({ at, evidence })) };
  };
  const never = `0x${"00".repeat(32)}`;
  const unsettled = { ...settlement, transaction: never };
  const unanchored = { ...anchoring, transaction: never };
  const torn = { ...anchoring, root: never };
  const ends = async (layer: "settlement" | "inclusion", ...pieces: Evidence[]) => ({
    offline: await verified(told(...pieces), layer),
    online: await verified(told(...pieces), layer, "--online"),
  });
  const [held, well] = [
    { exit: 2, code: "disputed" },
    { exit: 0, code: "ok" },
  ];
  const genuine = [settlement, anchoring];
  const junk = [unsettled, unanchored, torn];
  for (const [layer, pieces] of [
    ["settlement", genuine],
    ["inclusion", [...genuine, ...junk]],
    ["settlement", [...junk, ...genuine]],
  ] as const)
    expect(await ends(layer, ...pieces)).toEqual({ offline: held, online: well });
  // Without a genuine piece among them the chain contradicts the file.
  expect(await ends("inclusion", settlement, torn, unanchored)).toEqual({
    offline: held,
    online: { exit: 1, code: "not_anchored" },
  });
  expect(await ends("settlement", unsettled, anchoring)).toEqual({
    offline: held,
    online: { exit: 1, code: "settlement_not_on_chain" },
  });
  const failing = { exit: 1, code: "root_mismatch" };
  expect(await ends("inclusion", settlement, torn)).toEqual({ offline: failing, online: failing });
});

const kindOf = ({ evidence }: Receipt["later"][number]): string => evidence.kind;
const isInclusion = (one: Evidence): one is InclusionEvidence => one.kind === "inclusion.merkle";
