import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { toHex, utf8 } from "../../src/evidence/bytes.ts";
import { canonicalSha256 } from "../../src/evidence/canonical.ts";
import { parseReceipt, serializeReceipt } from "../../src/receipts/receipt.ts";
import type { Receipt } from "../../src/receipts/schema.ts";
import { appraise } from "../../src/verify/appraise.ts";
import { createVerificationCache, type VerificationCache } from "../../src/verify/verification-cache.ts";
import { leaves, otherThan, replaceAt, type Path } from "../receipts/json-edits.ts";
import { cases } from "../support/campaign.ts";
import { makeChatReceipt } from "../support/chat-receipt.ts";
import { makeFixture, type Fixture, type FixtureChanges } from "../support/fixture-receipt.ts";
import { openProvenMaker, type ProvenMaker } from "../support/proven-receipt.ts";
import { resealed } from "../support/reseal.ts";

const CERTIFICATE = utf8("a certificate");
const METHODS = ["eip3009", "permit2", "upto", "voucher"] as const;
type Method = (typeof METHODS)[number];

/** The fields that SECURITY.md says are bound by nothing, as patterns of places in a receipt. */
const security = readFileSync(join(import.meta.dirname, "../../SECURITY.md"), "utf8");
const section = /\n### What nothing binds\n([\s\S]*?)\n#/.exec(security)?.[1] ?? "";
const LISTED = [...section.matchAll(/^\| (`.*`) \| \S.* \|$/gm)].flatMap(([, fields]) =>
  [...(fields ?? "").matchAll(/`([^`]+)`/g)].map(([, field]) => field ?? ""),
);
const isListed = (place: string): boolean => LISTED.includes(place.replaceAll(/\.\d+/g, "[]"));

/** Of a hash that takes no key nothing is left changed: the receipt is as it was. */
const isSame = (sealed: Receipt, { receipt }: Fixture): boolean =>
  toHex(canonicalSha256(sealed)) === toHex(canonicalSha256(receipt));

const session: VerificationCache = createVerificationCache();
const judged = async (receipt: unknown, fixture: Fixture): Promise<string> => {
  const { policy, evaluateAt } = fixture;
  const sealed = resealed(receipt);
  if (sealed !== null && receipt !== fixture.receipt && isSame(sealed, fixture)) return "unchanged";
  const parsed = sealed === null ? null : parseReceipt(serializeReceipt(sealed));
  if (parsed?.ok !== true) return "refused";
  return (await appraise({ receipt: parsed.receipt, policy, now: new Date(), evaluateAt }, session)).verdict;
};

/** Other values of a leaf: of its kind, at both ends of a text, and of the ends of its range; of a time, near it and far. */
function changesOf(value: unknown): unknown[] {
  const others = [otherThan(value)];
  if (typeof value === "string" && /^\d{4}-\d\d-\d\dT/.test(value))
    return [1, 1000, -1000, 86_400_000, -86_400_000, -31_536_000_000].map((ms) =>
      new Date(Date.parse(value) + ms).toISOString(),
    );
  if (typeof value === "number") return [...others, 0, value - 1, value + 3600].filter((other) => other !== value);
  if (typeof value !== "string") return [...others, null];
  const digits = /^(?:0|[1-9][0-9]*)$/.test(value) ? ["0", `${value}0`, "1"] : [];
  const first = /^0x[0-9a-f]/.test(value) ? 2 : 0;
  const front = value.slice(0, first) + (value[first] === "a" ? "b" : "a") + value.slice(first + 1);
  return [...others, front, ...digits].filter((other) => other !== value);
}

/** The places whose leaf can be changed alone, everything that takes no key made right again, and the verdict stays. */
async function survivors(fixture: Fixture): Promise<string[]> {
  const { core, later } = fixture.receipt;
  const places = leaves({ core, later });
  expect(places.length).toBeGreaterThan(70);
  const found: string[] = [];
  for (const path of places) {
    const value = path.reduce<unknown>((at, key) => (at as Record<string | number, unknown>)[key], fixture.receipt);
    for (const other of changesOf(value)) {
      if (
        (await judged(
          replaceAt(fixture.receipt, path, () => other),
          fixture,
        )) !== "verified"
      )
        continue;
      found.push(path.join("."));
      break;
    }
  }
  return found;
}

type Kind = "attested" | "proven";
/** A test run walks two proven receipts beside the attested ones of all methods, `.ci/run` and the campaign all. */
const EACH = (["attested", "proven"] as const)
  .flatMap((kind) => METHODS.map((method): [Kind, Method] => [kind, method]))
  .slice(0, cases(METHODS.length + 2, 2 * METHODS.length));
const CHANGES: Record<Method, FixtureChanges> = {
  eip3009: { signed: true },
  // Behind TLS that its attestation names.
  permit2: { signed: true, method: "permit2", tls: { named: CERTIFICATE, seen: CERTIFICATE } },
  upto: { signed: true, method: "upto" },
  voucher: { signed: true, method: "voucher" },
};

let prover: ProvenMaker;
const fixtures = new Map<string, Fixture>();
const fixtureOf = (kind: Kind, method: Method): Fixture => fixtures.get(`${kind} ${method}`)!;
beforeAll(async () => {
  prover = await openProvenMaker();
  const make = { attested: makeFixture, proven: prover.make };
  for (const [kind, method] of EACH) fixtures.set(`${kind} ${method}`, await make[kind](CHANGES[method]));
});
afterAll(() => prover.close());

describe("T57: a verified receipt, each leaf changed alone and resealed", () => {
  const seen = new Set<string>();

  test.each(EACH)(
    "is not verified any more but for the fields that SECURITY.md lists: %s, %s",
    async (kind, method) => {
      const fixture = fixtureOf(kind, method);
      expect(await judged(fixture.receipt, fixture)).toBe("verified");
      const left = await survivors(fixture);
      for (const place of left) seen.add(place.replaceAll(/\.\d+/g, "[]"));
      expect(left.filter((place) => !isListed(place))).toEqual([]);
    },
  );

  test("is not verified any more but for those fields: a chat that a gateway signed", async () => {
    const fixture = await makeChatReceipt();
    expect(await judged(fixture.receipt, fixture)).toBe("verified");
    expect((await survivors(fixture)).filter((place) => !isListed(place))).toEqual([]);
  });

  test("and every field that SECURITY.md lists is one of those", () => {
    expect(LISTED.filter((field) => !seen.has(field))).toEqual([]);
  });
});

test("of a verified receipt nothing can be left out alone but the request's bytes, whose signed hash stays, and the payer's signature", async () => {
  const { receipt } = fixtureOf("attested", "eip3009");
  const kept: string[] = [];
  for (const path of leaves({ core: receipt.core, later: receipt.later })) {
    const without = withoutAt(receipt, path);
    if ((await judged(without, fixtureOf("attested", "eip3009"))) === "verified") kept.push(path.join("."));
  }
  expect(kept).toEqual(["core.request.body", "later.0.evidence.signature"]);
});

test("of a verified receipt with a proof likewise, and what its proof is compared with cannot be left out", async () => {
  const { receipt } = fixtureOf("proven", "eip3009");
  const kept: string[] = [];
  for (const path of leaves({ core: receipt.core, later: receipt.later })) {
    if ((await judged(withoutAt(receipt, path), fixtureOf("proven", "eip3009"))) === "verified")
      kept.push(path.join("."));
  }
  expect(kept).toEqual(["later.0.evidence.signature"]);
});

/** The same value without the key at `path`. */
function withoutAt(value: unknown, path: Path): unknown {
  const [last, parent] = [path.at(-1), path.slice(0, -1)];
  return replaceAt(value, parent, (container) =>
    Array.isArray(container)
      ? container.filter((_item, index) => index !== last)
      : Object.fromEntries(Object.entries(container as object).filter(([key]) => key !== last)),
  );
}

test("the order of a receipt's evidence decides nothing, as SECURITY.md says", async () => {
  expect(section).toContain("order of the pieces in `core.evidence` and in `later`");
  const fixture = fixtureOf("proven", "permit2");
  const { core, later } = fixture.receipt;
  const turned = {
    ...fixture.receipt,
    core: { ...core, evidence: core.evidence.toReversed() },
    later: later.toReversed(),
  };
  expect(turned.core.evidence).not.toEqual(core.evidence);
  expect(await judged(turned, fixture)).toBe("verified");
});
