import { beforeAll, describe, expect, test } from "vitest";
import { canonicalJson } from "../../src/evidence/canonical.ts";
import { teeIdOf } from "../../src/evidence/tee-signature.ts";
import { readManifest } from "../../src/verify/tee/manifest.ts";
import { fromBase64, sha256, toBase64, toHex, utf8 } from "../../src/evidence/bytes.ts";
import { createReceipt, serializeReceipt } from "../../src/receipts/receipt.ts";
import type { Receipt } from "../../src/receipts/schema.ts";
import { readFacts } from "../../src/verify/facts.ts";
import { policyHash } from "../../src/verify/policy.ts";
import { AWS_NITRO_ROOT } from "../../src/verify/tee/nitro.ts";
import { createVerificationCache, type VerificationCache } from "../../src/verify/verification-cache.ts";
import { verifyReceipt } from "../../src/verify/verify-receipt.ts";
import { makeFixture, type Fixture } from "../support/fixture-receipt.ts";

let fixture: Fixture;
beforeAll(async () => {
  fixture = await makeFixture();
});

describe("the facts of a receipt", () => {
  test("are what its evidence says under its own root", async () => {
    const { core } = fixture.receipt;
    const facts = await readFacts(fixture.receipt);
    const [root] = fixture.policy.simulatedRoots;
    const signature = core.evidence[2] as { timestamp: number };
    expect(facts.platform).toMatchObject({
      root,
      rootIsAws: false,
      genuine: true,
      problem: null,
      answersNonce: true,
    });
    expect(root).not.toBe(AWS_NITRO_ROOT);
    const { time, validFrom, validUntil, measurements } = facts.platform!;
    expect(validFrom!).toBeLessThanOrEqual(time!);
    expect(validUntil!).toBeGreaterThan(time!);
    expect(measurements).toMatchObject(fixture.policy.sellers["fixture"]!.measurements[0]!);
    expect(facts.key).toEqual({ id: core.seller.keyId, bound: true, signedExchange: true });
    expect(facts.times).toEqual({
      sentAt: core.request.sentAt,
      receivedAt: core.response.receivedAt,
      signedAt: new Date(signature.timestamp * 1000).toISOString(),
    });
    const { sha256, keccak256 } = core.request;
    expect(facts.hashes.request).toEqual({ sha256, keccak256, bytes: "here" });
  });

  test("name the TLS certificate that the document names, and the one that the buyer saw", async () => {
    expect((await readFacts(fixture.receipt)).tls).toEqual({ named: null, seen: null });
    const [named, seen] = [utf8("a certificate"), utf8("another")];
    const { receipt } = await makeFixture({ tls: { named, seen } });
    const digests = { named: toHex(sha256(named)), seen: toHex(sha256(seen)) };
    expect((await readFacts(receipt)).tls).toEqual(digests);
    // Nothing is named by a document that does not hold.
    const core = structuredClone(receipt.core);
    (core.evidence[0] as { document: string }).document = toBase64(utf8("no document"));
    expect((await readFacts({ ...receipt, core })).tls).toEqual({ ...digests, named: null });
  });

  test("are read of base64 in another spelling than its canonical one, and nothing throws", async () => {
    const spelt = (at: number, field: string): Receipt => {
      const core = structuredClone(fixture.receipt.core);
      (core.evidence[at] as Record<string, unknown>)[field] = "AB==";
      return createReceipt(core);
    };
    for (const field of ["document", "publicKey"]) {
      const { platform, key } = await readFacts(spelt(0, field));
      expect([platform?.genuine, platform?.root, key]).toEqual([false, null, null]);
    }
    expect((await readFacts(spelt(2, "signature"))).key?.signedExchange).toBe(false);
    const verified = await verifyReceipt(serializeReceipt(spelt(0, "document")), fixture.policy);
    expect(verified.ok && verified.appraisal.verdict).toBe("failed");
  });

  test("say what does not hold: another nonce, another key, another answer", async () => {
    const changed = async (change: (evidence: Record<string, unknown>[]) => void) => {
      const core = structuredClone(fixture.receipt.core);
      change(core.evidence);
      return readFacts({ ...fixture.receipt, core });
    };
    const nonce = await changed(([nitro]) => (nitro!["nonce"] = "ab".repeat(20)));
    expect(nonce.platform).toMatchObject({ genuine: true, answersNonce: false });
    const key = await changed(([nitro]) => (nitro!["publicKey"] = toBase64(utf8("a key"))));
    expect(key.key).toMatchObject({ bound: false, signedExchange: false });
    const hash = await changed(([, , signature]) => (signature!["outputHash"] = "ab".repeat(32)));
    expect(hash.key).toMatchObject({ bound: true, signedExchange: false });
    const broken = await changed(([nitro]) => (nitro!["document"] = toBase64(utf8("no document"))));
    expect(broken.platform).toEqual({
      root: null,
      rootIsAws: false,
      genuine: false,
      problem: expect.any(String) as string,
      time: null,
      validFrom: null,
      validUntil: null,
      measurements: {},
      answersNonce: false,
    });
    expect(broken.key).toMatchObject({ bound: false });
    const cut = await changed(([nitro]) => {
      const document = fromBase64(nitro!["document"] as string);
      document[document.length - 1]! ^= 1;
      nitro!["document"] = toBase64(document);
    });
    expect(cut.platform).toMatchObject({
      root: fixture.policy.simulatedRoots[0],
      genuine: false,
      time: null,
    });
    const twice = await changed((evidence) => evidence.push(evidence[0]!, evidence[2]!));
    expect(twice).toMatchObject({ platform: null, key: null, times: { signedAt: null } });
  });
});

describe("the payer's agreement", () => {
  const agreementOf = async (receipt: Receipt) => (await readFacts(receipt)).agreement;

  test.each(["eip3009", "permit2", "voucher"] as const)("is who signed these terms: %s", async (method) => {
    const { receipt } = await makeFixture({
      signed: true,
      ...(method === "eip3009" ? {} : { method }),
    });
    const { payer } = receipt.core.payment;
    expect(await agreementOf(receipt)).toEqual({ signer: payer, byPayer: true });
    const core = structuredClone(receipt.core);
    Object.assign(core.payment, method === "voucher" ? { cumulative: "50000" } : { validAfter: 1 });
    const told = await agreementOf({ ...receipt, core });
    expect(told).toMatchObject({ byPayer: false });
    expect(told?.signer).not.toBe(payer);
  });

  test("is told of one settlement that shows a signature", async () => {
    const { receipt } = await makeFixture({ signed: true });
    expect(await agreementOf({ ...receipt, later: [] })).toBe(null);
    expect(await agreementOf({ ...receipt, later: [...receipt.later, ...receipt.later] })).toBe(null);
    expect(await agreementOf(fixture.receipt)).toBe(null);
  });

  test("of a message that does not name its payer is told only if the enclave's key signed for the terms", async () => {
    const { receipt } = await makeFixture({ signed: true, method: "permit2" });
    const { payer } = receipt.core.payment;
    const told = (change: (evidence: Record<string, unknown>[]) => void) => {
      const core = structuredClone(receipt.core);
      change(core.evidence);
      return agreementOf({ ...receipt, core });
    };
    expect(await told(() => undefined)).toEqual({ signer: payer, byPayer: true });
    const unknown = { signer: payer, byPayer: null };
    expect(await told(([nitro]) => (nitro!["document"] = toBase64(utf8("no document"))))).toEqual(unknown);
    expect(await told(([nitro]) => (nitro!["publicKey"] = toBase64(utf8("a key"))))).toEqual(unknown);
    expect(await told(([, , signature]) => (signature!["outputHash"] = "ab".repeat(32)))).toEqual(unknown);
  });

  test("of a message in a domain of its own reads nothing of the token's", async () => {
    const { receipt } = await makeFixture({ signed: true, method: "permit2" });
    const core = structuredClone(receipt.core);
    core.offer.extra["name"] = 5;
    expect(await agreementOf({ ...receipt, core })).toMatchObject({ signer: core.payment.payer });
  });

  test("is nobody's where the terms cannot be signed", async () => {
    const { receipt } = await makeFixture({ signed: true });
    const core = structuredClone(receipt.core);
    core.offer.extra["name"] = 5;
    expect(await agreementOf({ ...receipt, core })).toEqual({ signer: null, byPayer: false });
  });
});

describe("a session", () => {
  test("keeps the 256 newest of a kind, refusals too, and a key from leaving it", async () => {
    const kept = createVerificationCache();
    const asked: number[] = [];
    const ask = (number: number): boolean =>
      kept.holds(String(number), () => {
        asked.push(number);
        return number > 0;
      });
    for (let number = 0; number < 256; number += 1) expect(ask(number)).toBe(number > 0);
    for (let number = 0; number < 256; number += 1) expect(ask(number)).toBe(number > 0);
    expect(asked).toHaveLength(256);
    for (const number of [256, 1, 0, 2]) ask(number);
    expect(asked.slice(256)).toEqual([256, 0]);
    const attestation = fixture.receipt.core.evidence[0] as unknown as { publicKey: string };
    const key = await kept.rsaKey(attestation.publicKey);
    expect(key?.extractable).toBe(false);
    expect(await kept.rsaKey(toBase64(utf8("no key")))).toBe(null);
  });
});

test("a session keeps 256 documents in all, under whatever roots", async () => {
  const kept = createVerificationCache();
  const documents = Array.from({ length: 32 }, (_, n) => toBase64(utf8(`no document ${n}`)));
  const roots = Array.from({ length: 9 }, (_, n) => String(n).padStart(64, "0"));
  const askAll = (of: readonly string[]) => of.flatMap((root) => documents.map((one) => kept.nitroFacts(one, [root])));
  const first = askAll(roots.slice(0, 8));
  expect(askAll(roots.slice(0, 8)).every((facts, at) => facts === first[at])).toBe(true);
  const last = askAll(roots.slice(8));
  expect(askAll(roots.slice(1)).every((facts, at) => facts === [...first.slice(32), ...last][at])).toBe(true);
  expect(kept.nitroFacts(documents[0]!, [roots[0]!])).not.toBe(first[0]);
  await Promise.all(first);
});

describe("what a session keeps by its text", () => {
  test("is of that manifest, and of that key", () => {
    const kept = createVerificationCache();
    const manifests = ["a", "b"].map((name) => canonicalJson([{ name, sha256: "11".repeat(32) }]));
    for (const bytes of [...manifests, utf8("none"), ...manifests])
      expect(kept.manifest(toBase64(bytes))).toEqual(readManifest(bytes));
    for (let turn = 0; turn < 2; turn += 1)
      for (const bytes of [utf8("a key"), utf8("another")]) expect(kept.keyIdOf(toBase64(bytes))).toBe(teeIdOf(bytes));
    for (const text of ["?", "QQ"]) {
      expect(() => kept.manifest(text)).toThrow(Error);
      expect(() => kept.keyIdOf(text)).toThrow(Error);
    }
  });
});

test("a session keeps the 16 newest manifests, which may be large", () => {
  const kept = createVerificationCache();
  const texts = Array.from({ length: 17 }, (_, n) => toBase64(utf8(`no manifest ${n}`)));
  const first = texts.map((text) => kept.manifest(text));
  expect(texts.slice(1).every((text, at) => kept.manifest(text) === first[at + 1])).toBe(true);
  expect(kept.manifest(texts[0]!)).not.toBe(first[0]);
});

describe("the hash of a policy in a session", () => {
  test("follows what the caller changes in it", () => {
    const [kept, policy] = [createVerificationCache(), structuredClone(fixture.policy)];
    const before = kept.policyHash(policy);
    expect(before).toBe(policyHash(fixture.policy));
    policy.maxAttestationAgeSeconds += 1;
    expect(kept.policyHash(policy)).toBe(policyHash(policy));
    expect(kept.policyHash(policy)).not.toBe(before);
    expect(kept.policyHash(fixture.policy)).toBe(before);
  });
});

describe("verifying a file", () => {
  test("judges at the time of the answer, or another, and keeps what is costly in a session", async () => {
    const bytes = serializeReceipt(createReceiptWithLater());
    const kept: VerificationCache = createVerificationCache();
    let asked = 0;
    const counting: VerificationCache = {
      ...kept,
      nitroFacts: (...args) => (asked++, kept.nitroFacts(...args)),
    };
    const verified = await verifyReceipt(bytes, fixture.policy, { session: counting });
    expect(verified).toMatchObject({ ok: true, appraisal: { verdict: "verified" } });
    expect(asked).toBe(2);
    const at = new Date(fixture.evaluateAt.getTime() + 86_400_000 * 365);
    const late = await verifyReceipt(bytes, fixture.policy, { at });
    expect(late).toMatchObject({
      ok: true,
      appraisal: { verdict: "failed", at: at.toISOString() },
    });
    expect(await verifyReceipt("no receipt", fixture.policy)).toMatchObject({ ok: false });
  });

  const createReceiptWithLater = (): Receipt => ({
    ...createReceipt(fixture.receipt.core),
    later: fixture.receipt.later,
  });
});
