import { parseReceipt, serializeReceipt } from "../../src/receipts/receipt.ts";
import { fromBase64, fromHex } from "../../src/evidence/bytes.ts";
import type { Appraisal, Receipt } from "../../src/receipts/schema.ts";
import { createSimulatedEnclave, createSimulatedRoot } from "../../src/node/index.ts";
import { appraise } from "../../src/verify/appraise.ts";
import type { AppraisalPolicy } from "../../src/verify/policy.ts";
import { createVerificationCache, type VerificationCache } from "../../src/verify/verification-cache.ts";
import { makeFixture } from "../support/fixture-receipt.ts";
import { median, row, type Line } from "./measure.ts";

/** Receipts that heat code and session before a row is measured, and how often each does. */
const HEATING = 20;
const HEATED = 15;

const judge = (receipt: Receipt, policy: AppraisalPolicy, session: VerificationCache): Promise<Appraisal> =>
  appraise({ receipt, policy, now: new Date(), evaluateAt: new Date(receipt.core.response.receivedAt) }, session);

/** Receipts of one seller, bought after one look at it, each with its settlement, the payer's signature and an appraisal. */
export async function benchVerifying(rounds: number): Promise<Line[]> {
  const root = await createSimulatedRoot();
  const enclave = await createSimulatedEnclave({ root });
  const first = await makeFixture({ under: { root, enclave }, signed: true });
  const [evidence] = first.receipt.core.evidence;
  if (evidence?.kind !== "tee.nitro" || !("nonce" in evidence)) throw new Error("the fixture is attested");
  const attested = { nonce: fromHex(String(evidence.nonce)), document: fromBase64(String(evidence.document)) };
  const fixtures = [first];
  while (fixtures.length < rounds + HEATING)
    fixtures.push(await makeFixture({ under: { root, enclave, attested }, signed: true }));
  const { policy } = first;
  const session = createVerificationCache();
  const receipts: Receipt[] = [];
  for (const { receipt } of fixtures)
    receipts.push({ ...receipt, appraisals: [await judge(receipt, policy, session)] });
  return benchVerify(receipts, policy);
}

/**
 * Cold: a new session per receipt. Warm: the key is attested already, every measured receipt is a new one. One row after the
 * other, since a cold verification leaves caches and collector busy for the next. CPU time is beside the wall's, for a
 * busy machine stretches that.
 */
export async function benchVerify(receipts: readonly Receipt[], policy: AppraisalPolicy): Promise<Line[]> {
  const heating = Math.min(HEATING, Math.floor(receipts.length / 3));
  const measure = async (
    work: (receipt: Receipt) => Promise<Appraisal>,
    heated = HEATED,
  ): Promise<{ ms: number; cpu: number }> => {
    for (let round = 0; round < heated; round += 1)
      for (const receipt of receipts.slice(0, heating)) await work(receipt);
    const times: { ms: number; cpu: number }[] = [];
    for (const receipt of receipts.slice(heating)) {
      const [began, before] = [performance.now(), process.cpuUsage()];
      const { assurance } = await work(receipt);
      const [ms, { user, system }] = [performance.now() - began, process.cpuUsage(before)];
      times.push({ ms, cpu: (user + system) / 1000 });
      if (assurance !== "attested") throw new Error("the receipt did not verify");
    }
    return { ms: median(times.map(({ ms }) => ms)), cpu: median(times.map(({ cpu }) => cpu)) };
  };
  const [session, ofFiles] = [createVerificationCache(), createVerificationCache()];
  const files = new Map(receipts.map((receipt) => [receipt.id, serializeReceipt(receipt)]));
  const cold = await measure((receipt) => judge(receipt, policy, createVerificationCache()), 1);
  const warm = await measure((receipt) => judge(receipt, policy, session));
  const file = await measure((receipt) => {
    const parsed = parseReceipt(files.get(receipt.id) ?? "");
    if (!parsed.ok) throw new Error(parsed.message);
    return judge(parsed.receipt, policy, ofFiles);
  });
  const base = { name: "cold", ms: cold.ms };
  const bytes = median([...files.values()].map(({ length }) => length));
  return [
    row(`offline verify, cold (${receipts.length - heating} receipts)`, cold.ms, { cpu: cold.cpu, under: 15 }),
    row("offline verify, key already attested", warm.ms, { base, cpu: warm.cpu, under: 0.25 }),
    row(`the same from the file's ${(bytes / 1000).toFixed(0)} kB (parse, schema, id)`, file.ms, {
      base,
      cpu: file.cpu,
      under: 0.6,
    }),
  ];
}
