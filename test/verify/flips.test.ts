import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { beforeAll, describe, expect, test } from "vitest";
import { fromBase64, toBase64 } from "../../src/evidence/bytes.ts";
import { parseReceipt, receiptId, serializeReceipt } from "../../src/receipts/receipt.ts";
import { receiptSchema, type Receipt } from "../../src/receipts/schema.ts";
import { appraise } from "../../src/verify/appraise.ts";
import { verifyNitroDocument } from "../../src/verify/tee/nitro.ts";
import { createVerificationCache } from "../../src/verify/verification-cache.ts";
import { cases, half } from "../support/campaign.ts";
import { makeFixture, type Fixture } from "../support/fixture-receipt.ts";
import { vectorsDirectory } from "../support/vectors.ts";

const shared = await vectorsDirectory();
/** A test run changes one in so many bytes of an attestation document, which takes some ms to judge. The campaign changes each. */
const STEP = cases(61, 1, 31);
/** And one in so many characters of a text that is longer than a hash, a signature or an address. */
const TEXT_STEP = cases(61, 1, 31);
const LONG = 200;
let fixture: Fixture;
/** The same purchase, paid in each way that a transaction of its own settles. */
let fixtures: Record<"eip3009" | "permit2" | "upto", Fixture>;
beforeAll(async () => {
  fixture = await makeFixture();
  const [permit2, upto] = await Promise.all([makeFixture({ method: "permit2" }), makeFixture({ method: "upto" })]);
  fixtures = { eip3009: fixture, permit2, upto };
});

/** One for all, as a buyer has it: what it keeps of the unaltered receipt must pass for no altered one. */
const session = createVerificationCache();
const verdictOf = async (receipt: Receipt, { policy, evaluateAt } = fixture): Promise<string> =>
  (await appraise({ receipt, policy, now: new Date(), evaluateAt }, session)).verdict;

/** What a reader of the altered file comes to: a refusal to read it, or a verdict. */
async function read(receipt: Receipt): Promise<string> {
  const parsed = parseReceipt(serializeReceipt(receipt));
  return parsed.ok ? verdictOf(parsed.receipt) : parsed.code;
}

/** The altered receipt with its id made right again, as someone who alters it would, or null where its schema refuses it. */
function asForger(receipt: unknown): Receipt | null {
  const parsed = receiptSchema.safeParse(receipt);
  if (!parsed.success) return null;
  try {
    return { ...parsed.data, id: receiptId(parsed.data.core) };
  } catch {
    return null;
  }
}

const flip = (bytes: Uint8Array, index: number): Uint8Array =>
  bytes.map((byte, i) => (i === index ? byte ^ (1 << (index % 8)) : byte));

/** Runs a check for each index, a few at a time. */
async function each(count: number, check: (index: number) => Promise<void>): Promise<void> {
  for (let start = 0; start < count; start += 16) {
    await Promise.all(Array.from({ length: Math.min(16, count - start) }, (_, offset) => check(start + offset)));
  }
}

test("the unaltered receipt is verified", async () => {
  expect(await read(fixture.receipt)).toBe("verified");
  for (const paid of Object.values(fixtures)) expect(await verdictOf(paid.receipt, paid)).toBe("verified");
});

describe.skipIf(shared === null)("a genuine attestation document", () => {
  test.each([
    ["oyster-aws.bin", "2024-12-13T07:37:58.960Z"],
    ["evervault-valid-attestation-doc-bytes.bin", "2022-10-13T08:58:02.136Z"],
  ])("%s passes as it is and with no single byte changed", async (file, at) => {
    const document = new Uint8Array(await readFile(join(shared ?? "", "nitro", file)));
    const verify = (bytes: Uint8Array) =>
      verifyNitroDocument({ document: bytes, evaluateAt: new Date(at), simulatedRoots: [] });
    expect((await verify(document)).ok).toBe(true);
    const passed: number[] = [];
    await each(Math.ceil(document.length / STEP), async (nth) => {
      const index = nth * STEP;
      if ((await verify(flip(document, index))).ok) passed.push(index);
    });
    expect(passed).toEqual([]);
    expect((await verify(new Uint8Array([...document, 0]))).ok).toBe(false);
    expect((await verify(new Uint8Array([0xd2, ...document]))).ok).toBe(false);
  });
});

describe("a stored receipt, its id made right by the forger", () => {
  /** Replaces the base64 field at a path with each single-byte flip of its bytes. */
  const fields: [string, (receipt: Receipt) => { get: string; set: (text: string) => unknown }][] = [
    [
      "attestation document",
      (r) => ({
        get: (r.core.evidence[0] as { document: string }).document,
        set: (document) => withEvidence(r, 0, { document }),
      }),
    ],
    [
      "signing key",
      (r) => ({
        get: (r.core.evidence[0] as { publicKey: string }).publicKey,
        set: (publicKey) => withEvidence(r, 0, { publicKey }),
      }),
    ],
    [
      "model manifest",
      (r) => ({
        get: (r.core.evidence[1] as { manifest: string }).manifest,
        set: (manifest) => withEvidence(r, 1, { manifest }),
      }),
    ],
    [
      "response signature",
      (r) => ({
        get: (r.core.evidence[2] as { signature: string }).signature,
        set: (signature) => withEvidence(r, 2, { signature }),
      }),
    ],
    [
      "request bytes",
      (r) => ({
        get: r.core.request.body ?? "",
        set: (body) => ({ ...r, core: { ...r.core, request: { ...r.core.request, body } } }),
      }),
    ],
    [
      "response bytes",
      (r) => ({
        get: r.core.response.body ?? "",
        set: (body) => ({ ...r, core: { ...r.core, response: { ...r.core.response, body } } }),
      }),
    ],
  ];
  const withEvidence = (r: Receipt, index: number, change: object): unknown => ({
    ...r,
    core: { ...r.core, evidence: r.core.evidence.map((e, i) => (i === index ? { ...e, ...change } : e)) },
  });

  test.each(fields)("is not verified with any byte of the %s changed", async (_name, field) => {
    const { get, set } = field(fixture.receipt);
    const bytes = fromBase64(get);
    expect(bytes.length).toBeGreaterThan(0);
    const verified: number[] = [];
    const step = bytes.length > 1000 ? STEP : 1;
    await each(Math.ceil(bytes.length / step), async (nth) => {
      const index = nth * step;
      const forged = asForger(set(toBase64(flip(bytes, index))));
      if (forged !== null && (await read(forged)) === "verified") verified.push(index);
    });
    expect(verified).toEqual([]);
  });

  /**
   * Leaves that no signature, hash or chain event covers, so that a forger who makes the id right can change them. None
   * says who sold, what was asked or answered, or what was paid: the buyer's own words about when, which 2xx the answer
   * had, and where on the chain.
   */
  const UNBOUND = [
    /^core\.request\.sentAt$/,
    /^core\.response\.receivedAt$/,
    /^core\.evidence\.0\.fetchedAt$/,
    /^later\.0\.at$/,
    /^later\.0\.evidence\.(?:transaction|blockNumber|blockHash|blockTime)$/,
    /^later\.0\.evidence\.logs\.\d\.logIndex$/,
  ];

  const survivorsOf = async (paid: Fixture, leaves: readonly Leaf[]): Promise<string[]> => {
    const survivors = new Set<string>();
    for (const leaf of leaves) {
      const all = mutationsOf(leaf.value);
      const mutations = all.length > LONG ? all.filter((_, index) => index % TEXT_STEP === 0) : all;
      await each(mutations.length, async (index) => {
        const forged = asForger(replaceLeaf(paid.receipt, leaf.path, mutations[index]));
        if (forged !== null && (await verdictOf(forged, paid)) === "verified") survivors.add(leaf.path);
      });
    }
    return [...survivors].filter((path) => !UNBOUND.some((pattern) => pattern.test(path)));
  };

  test("is not verified with any character of any other field changed", async () => {
    const leaves = leavesOf({ core: fixture.receipt.core, later: fixture.receipt.later }).filter(
      ({ path }) => !/\.(?:document|publicKey|manifest|signature|body)$/.test(path),
    );
    expect(leaves.length).toBeGreaterThan(60);
    expect(await survivorsOf(fixture, leaves)).toEqual([]);
  });

  test.each(half(["permit2", "upto"] as const))(
    "paid by %s, is not verified with any character of offer, payment or settlement changed",
    async (method) => {
      const { core, later } = fixtures[method].receipt;
      const leaves = leavesOf({ core: { offer: core.offer, payment: core.payment }, later });
      expect(leaves.map(({ path }) => path)).toContain("later.0.evidence.input");
      expect(await survivorsOf(fixtures[method], leaves)).toEqual([]);
    },
  );

  test("is refused as a file with any leaf of its core changed and the id left as it was", () => {
    const read = leavesOf({ core: fixture.receipt.core }).filter((leaf) => {
      const altered = receiptSchema.safeParse(replaceLeaf(fixture.receipt, leaf.path, mutationsOf(leaf.value)[0]));
      return altered.success && parseReceipt(serializeReceipt(altered.data)).ok;
    });
    expect(read).toEqual([]);
  });
});

type Leaf = { path: string; value: unknown };

function leavesOf(value: unknown, path = ""): Leaf[] {
  if (typeof value !== "object" || value === null) return [{ path, value }];
  return Object.entries(value).flatMap(([key, item]) => leavesOf(item, path === "" ? key : `${path}.${key}`));
}

/** One change per character of a text (a hex digit or digit becomes another), or a changed number. */
function mutationsOf(value: unknown): unknown[] {
  if (typeof value === "number") return [value + 1, value === 0 ? 2 : value - 1];
  if (typeof value !== "string") return [null];
  return [...value].map((character, index) => {
    const other = /[0-9]/.test(character)
      ? String((Number(character) + 1) % 10)
      : /[a-f]/.test(character)
        ? character === "a"
          ? "b"
          : "a"
        : character === "z"
          ? "y"
          : "z";
    return `${value.slice(0, index)}${other}${value.slice(index + 1)}`;
  });
}

function replaceLeaf(value: unknown, path: string, replacement: unknown): unknown {
  const [key = "", ...rest] = path.split(".");
  if (path === "") return replacement;
  const next = rest.join(".");
  if (Array.isArray(value))
    return value.map((item: unknown, i) => (String(i) === key ? replaceLeaf(item, next, replacement) : item));
  const object = value as Record<string, unknown>;
  return { ...object, [key]: replaceLeaf(object[key], next, replacement) };
}
