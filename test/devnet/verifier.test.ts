import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { createPublicClient, encodePacked, http, keccak256, parseEventLogs, type PublicClient } from "viem";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { devGroth16Verifier } from "../../src/devnet/contracts/dev-groth16-verifier.artifact.ts";
import { BN254_R, keyPoints, wordsOf } from "../../src/evidence/groth16.ts";
import type { Groth16Evidence } from "../../src/receipts/schema.ts";
import { writeDevnet } from "../../src/devnet/index.ts";
import { runCli } from "../support/cli.ts";
import { ETH_FEATURES, openMarket, type Market } from "../support/devnet.ts";
import { eventually } from "../support/eventually.ts";

let market: Market;
let config: string;
let client: PublicClient;
let id: string;
let proof: Groth16Evidence;
let requestSha256: string;
beforeAll(async () => {
  market = await openMarket({ proving: true });
  ({ config } = await writeDevnet(market.devnet, market.directory));
  client = createPublicClient({ transport: http(market.devnet.rpcUrl) });
  const input = JSON.stringify(ETH_FEATURES);
  const how = ["--seller", "prover", "--assurance", "proven", "--wait", "verified", "--json"];
  const { stdout } = await cli("buy", "eth-risk", "--input", input, ...how);
  ({ id } = (JSON.parse(stdout) as { receipt: { id: string } }).receipt);
  const file = join(market.directory, "proven.json");
  await cli("receipts", "export", id, file);
  const receipt = JSON.parse(await readFile(file, "utf8")) as {
    core: { request: { sha256: string } };
    later: { evidence: Groth16Evidence }[];
  };
  requestSha256 = receipt.core.request.sha256;
  proof = receipt.later.map(({ evidence }) => evidence).find(({ kind }) => kind === "zk.groth16")!;
});
afterAll(() => market.stop());

const cli = (...args: string[]) => runCli(["--config", config, ...args]);

describe("the verifier contract of a model", () => {
  const call = (key: bigint[], points: bigint[], signals: bigint[]) =>
    client.readContract({
      address: market.config().proofContracts.find(({ keySha256 }) => keySha256 === pinned())!.contract,
      abi: devGroth16Verifier.abi,
      functionName: "verify",
      args: [key, points as never, signals],
    });
  const pinned = (): string =>
    market.config().sellers.find(({ id: seller }) => seller === "prover")!.reference.proofs["eth-risk"]!;
  const genuine = (): [bigint[], bigint[], bigint[]] => [
    wordsOf(keyPoints(proof.key)),
    wordsOf(proof.proof),
    proof.signals.map(BigInt),
  ];

  test("has checked the proof for the node that made it, which publishes the transaction and its gas", async () => {
    const { origin } = market.devnet.sellers.prover!;
    const published = await eventually(async () => {
      const response = await fetch(`${origin}/v1/proofs/${requestSha256}`);
      const answer = (await response.json()) as { recorded?: { transaction: `0x${string}`; gasUsed: string } };
      expect(answer.recorded).toBeDefined();
      return answer.recorded!;
    });
    const receipt = await client.getTransactionReceipt({ hash: published.transaction });
    expect(receipt).toMatchObject({ status: "success", gasUsed: BigInt(published.gasUsed) });
    const logs = parseEventLogs({ abi: devGroth16Verifier.abi, eventName: "Proved", logs: receipt.logs });
    expect(logs[0]?.args).toMatchObject({
      signalsHash: keccak256(encodePacked(["uint256[]"], [proof.signals.map(BigInt)])),
    });
  });

  test("returns for the proof, and reverts for any other", async () => {
    const [key, points, signals] = genuine();
    await expect(call(key, points, signals)).resolves.toBeUndefined();
    const lies: Promise<unknown>[] = [
      ...points.map((word, at) => call(key, points.with(at, word ^ 1n), signals)),
      ...signals.map((signal, at) => call(key, points, signals.with(at, signal + 1n))),
      call(key, points, signals.with(0, signals[0]! + BN254_R)),
      ...key.map((word, at) => call(key.with(at, word ^ 1n), points, signals)),
      call(key, points, signals.slice(1)),
    ];
    const results = await Promise.allSettled(lies);
    expect(results.filter(({ status }) => status === "fulfilled")).toEqual([]);
  });

  test("checks a receipt's proof for its owner, who hears what it cost", async () => {
    const { code, stdout, stderr } = await cli("receipts", "publish", id, "--proof", "--yes", "--json");
    expect([code, stderr]).toEqual([0, expect.stringContaining("Has the proof checked")]);
    const view = JSON.parse(stdout) as {
      proof: { transaction: `0x${string}`; gasUsed: string };
      registry: { tag: string };
    };
    const mined = await client.getTransactionReceipt({ hash: view.proof.transaction });
    expect([mined.status, mined.logs.length]).toEqual(["success", 1]);
    expect(mined.gasUsed).toBe(BigInt(view.proof.gasUsed));
    // What a registry's readers must not miss.
    expect(view.registry.tag).toBe("proof402:proven:simulated:development");
    process.stdout.write(`a proof checked on chain: ${view.proof.gasUsed} gas\n`);
  });

  test("is not asked where a receipt has no proof", async () => {
    const how = ["--seller", "honest", "--wait", "verified", "--json"];
    const { stdout } = await cli("buy", "eth-risk", "--input", JSON.stringify(ETH_FEATURES), ...how);
    const plain = (JSON.parse(stdout) as { receipt: { id: string } }).receipt.id;
    const { code, stderr } = await cli("receipts", "publish", plain, "--proof", "--yes");
    expect([code, stderr]).toEqual([1, expect.stringContaining("proof_missing")]);
  });
});
