import { describe, expect, test } from "vitest";
import { sha256, toHex, utf8 } from "../../src/evidence/bytes.ts";
import { parseReceipt, serializeReceipt } from "../../src/receipts/receipt.ts";
import type { Appraisal, Evidence } from "../../src/receipts/schema.ts";
import { appraise } from "../../src/verify/appraise.ts";
import { judgeTls } from "../../src/verify/layers/tls.ts";
import { makeFixture, type Fixture, type FixtureChanges } from "../support/fixture-receipt.ts";
import { resealed } from "../support/reseal.ts";

const [ONE, OTHER] = [utf8("a certificate"), utf8("another")];

/** Judges what is left of a receipt once it was written to a file and read again. */
async function judged({ receipt, policy, evaluateAt }: Fixture): Promise<Appraisal> {
  const parsed = parseReceipt(serializeReceipt(receipt));
  if (!parsed.ok) throw new Error(parsed.code);
  return appraise({ receipt: parsed.receipt, policy, now: new Date(), evaluateAt });
}
const withTls = (tls: NonNullable<FixtureChanges["tls"]>): Promise<Fixture> => makeFixture({ tls });
/** The receipt with other evidence of the connection, made right again by whoever changed it. */
function forged(fixture: Fixture, digests: readonly string[]): Fixture {
  const { core } = fixture.receipt;
  const evidence = [
    ...core.evidence.filter(({ kind }) => kind !== "tls.peer"),
    ...digests.map((certificateSha256) => ({ kind: "tls.peer" as const, certificateSha256 })),
  ];
  const receipt = resealed({ ...fixture.receipt, core: { ...core, evidence } });
  if (receipt === null) throw new Error("it can be resealed");
  return { ...fixture, receipt };
}
const ABOUT = "That the connection ended in the enclave.";

describe("T81: TLS in a receipt", () => {
  test("that ended where the attestation says is said beside the key", async () => {
    const { verdict, layers, notProven } = await judged(await withTls({ named: ONE, seen: ONE }));
    expect(verdict).toBe("verified");
    expect(layers.key.note).toMatch(/The connection's TLS certificate is the one that it names\.$/);
    expect(notProven.join(" ")).not.toContain(ABOUT);
  });

  test("with another certificate than the attestation names fails, whatever was asked for", async () => {
    const fixture = await withTls({ named: ONE, seen: OTHER });
    for (const assurance of ["none", "signed", "attested", "proven"] as const) {
      const { verdict, layers } = await judged({ ...fixture, policy: { ...fixture.policy, assurance } });
      expect(verdict).toBe("failed");
      expect(layers.key).toMatchObject({ status: "fail", code: "tls_mismatch" });
    }
  });

  test("of which a digest was changed fails, also with every hash made right again, as do two digests", async () => {
    const fixture = await withTls({ named: ONE, seen: ONE });
    const [digest = ""] = fixture.receipt.core.evidence.flatMap((one) =>
      one.kind === "tls.peer" ? [String(one.certificateSha256)] : [],
    );
    for (let at = 0; at < digest.length; at += 1) {
      const changed = `${digest.slice(0, at)}${digest[at] === "a" ? "b" : "a"}${digest.slice(at + 1)}`;
      expect((await judged(forged(fixture, [changed]))).layers.key.code).toBe("tls_mismatch");
    }
    expect((await judged(forged(fixture, [digest, digest]))).layers.key.code).toBe("ambiguous_evidence");
    expect((await judged(forged(fixture, [digest]))).verdict).toBe("verified");
  });

  test("of which nothing is on record, where a certificate is named, is no pass", async () => {
    const fixture = forged(await withTls({ named: ONE, seen: ONE }), []);
    const { verdict, layers } = await judged(fixture);
    expect(verdict).toBe("unverified");
    expect(layers.key).toMatchObject({ status: "skip", code: "tls_not_recorded" });
  });

  test.each<[string, NonNullable<FixtureChanges["tls"]>, string, string]>([
    ["no certificate in the attestation", { seen: ONE }, "https:", "The attestation names no TLS certificate."],
    ["none, and no TLS", {}, "http:", "The attestation names no TLS certificate, and the connection had no TLS."],
    ["no TLS, where one is named", { named: ONE }, "http:", "The connection had no TLS."],
  ])("%s is said, and is no pass of anything", async (_what, tls, protocol, said) => {
    const fixture = await withTls(tls);
    const { seller } = fixture.receipt.core;
    const origin = seller.origin.replace("https:", protocol);
    const changed = resealed({ ...fixture.receipt, core: { ...fixture.receipt.core, seller: { ...seller, origin } } });
    const known = { ...fixture.policy.sellers["fixture"], origin };
    const policy = { ...fixture.policy, sellers: { fixture: known } } as Fixture["policy"];
    if (changed === null) throw new Error("it can be resealed");
    const { verdict, layers, notProven } = await judged({ ...fixture, receipt: changed, policy });
    expect(verdict).toBe("verified");
    expect(layers.key).toMatchObject({ status: "pass", note: expect.stringContaining(said) as string });
    expect(notProven).toContain(`${ABOUT} ${said}`);
  });
});

describe("what an attestation says of TLS", () => {
  const digest = toHex(sha256(ONE));
  const peer = (certificate: Uint8Array): Evidence => ({
    kind: "tls.peer",
    certificateSha256: toHex(sha256(certificate)),
  });
  const none = new Uint8Array(32);

  test.each<[string, Uint8Array, Evidence[], string | undefined, string | null, RegExp, string | undefined]>([
    ["is what was seen", sha256(ONE), [peer(ONE)], "https://a.example", digest, /^shown$/, undefined],
    ["is not what was seen", sha256(ONE), [peer(OTHER)], "https://a.example", digest, /not the one/, "tls_mismatch"],
    ["was seen nowhere", sha256(ONE), [], "https://a.example", digest, /not on record/, "tls_not_recorded"],
    ["was seen at an address not told", sha256(ONE), [], undefined, digest, /not on record/, "tls_not_recorded"],
    ["was not asked for", sha256(ONE), [], "http://a.example", digest, /^The connection had no TLS\.$/, undefined],
    [
      "was seen twice",
      sha256(ONE),
      [peer(ONE), peer(ONE)],
      "https://a.example",
      digest,
      /more than one/,
      "ambiguous_evidence",
    ],
    ["names none", none, [peer(ONE)], "https://a.example", null, /names no TLS certificate\.$/, undefined],
    ["names none of none", none, [], "http://a.example", null, /, and the connection had no TLS\.$/, undefined],
  ])("%s", (_name, attested, evidence, origin, named, notShown, wrong) => {
    const judgement = judgeTls(new Uint8Array(attested), evidence, origin);
    expect(judgement.named).toBe(named);
    expect(judgement.notShown ?? "shown").toMatch(notShown);
    expect(judgement.wrong?.code).toBe(wrong);
  });
});
