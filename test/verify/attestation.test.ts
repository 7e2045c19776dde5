import { beforeAll, describe, expect, test } from "vitest";
import { encodeUserData, extendedPcr } from "../../src/evidence/attestation.ts";
import { concatBytes, sha256, sha384, toBase64, toHex, utf8, type Bytes } from "../../src/evidence/bytes.ts";
import { canonicalJson } from "../../src/evidence/canonical.ts";
import type { NitroPayload } from "../../src/evidence/nitro.ts";
import { teeIdOf } from "../../src/evidence/tee-signature.ts";
import type { Evidence, LayerResult } from "../../src/receipts/schema.ts";
import { appraiseAttestation, type AttestationAppraisal } from "../../src/verify/layers/attestation.ts";
import { appraisalPolicySchema, type AppraisalPolicy } from "../../src/verify/policy.ts";
import { createVerificationCache } from "../../src/verify/verification-cache.ts";
import { makeChain, MEASURED, payloadOf, signDocument, type Chain } from "../support/nitro-document.ts";

const SELLER = "desk";
const MODEL = "risk";
const DIGEST = "5a".repeat(32);
const NONCE = new Uint8Array(20).fill(9);
// The attestation binds the key's bytes; what kind of key it is matters only where it signs.
const SPKI = utf8("a key");

const manifestOf = (value: unknown): Bytes => canonicalJson(value);
const MANIFEST = manifestOf([
  { name: "other", sha256: "11".repeat(32) },
  { name: MODEL, sha256: DIGEST },
]);

let chain: Chain;
beforeAll(async () => {
  chain = await makeChain();
});

type Changes = {
  payload?: Partial<NitroPayload>;
  manifest?: Bytes;
  evidence?: (usual: Evidence[]) => Evidence[];
  nonce?: Uint8Array;
  publicKey?: Bytes;
  policy?: (usual: AppraisalPolicy) => Partial<AppraisalPolicy>;
  sellerId?: string;
  model?: string;
  at?: Date;
};

const measured = (manifest: Uint8Array): Map<number, Uint8Array> => new Map([...MEASURED, [2, sha384(manifest)]]);

/** Appraises an attestation that is as it should be but for what is changed. */
async function appraiseWith(changes: Changes = {}): Promise<AttestationAppraisal> {
  const manifest = changes.manifest ?? MANIFEST;
  const payload = payloadOf(chain, {
    pcrs: measured(manifest),
    userData: encodeUserData({ tlsCertificate: null, signingKeySpki: SPKI }),
    nonce: NONCE,
    ...changes.payload,
  });
  const usual: Evidence[] = [
    {
      kind: "tee.nitro",
      document: toBase64(await signDocument(chain, payload)),
      nonce: toHex(changes.nonce ?? NONCE),
      publicKey: toBase64(changes.publicKey ?? SPKI),
      fetchedAt: chain.at.toISOString(),
    },
    { kind: "model.manifest", manifest: toBase64(manifest) },
  ];
  const policy = appraisalPolicySchema.parse({
    simulatedRoots: [chain.rootSha256],
    sellers: { [SELLER]: { measurements: [setOf(measured(manifest))], models: { [MODEL]: DIGEST } } },
  });
  return appraiseAttestation({
    evidence: changes.evidence?.(usual) ?? usual,
    sellerId: changes.sellerId ?? SELLER,
    model: changes.model ?? MODEL,
    policy: { ...policy, ...changes.policy?.(policy) },
    evaluateAt: changes.at ?? chain.at,
  });
}

const setOf = (pcrs: ReadonlyMap<number, Uint8Array>): Record<string, string> =>
  Object.fromEntries([...pcrs].map(([index, digest]) => [String(index), toHex(digest)]));
const brief = ({ status, code }: LayerResult): string => (status === "pass" ? "pass" : `${status} ${code}`);
const codes = ({ layers }: AttestationAppraisal): Record<string, string> =>
  Object.fromEntries(Object.entries(layers).map(([layer, result]) => [layer, brief(result)]));
const references = (reference: object) => () => ({
  sellers: appraisalPolicySchema.parse({ sellers: { [SELLER]: reference } }).sellers,
});

test("an attestation that is as it should be passes in every layer and binds its key", async () => {
  const appraisal = await appraiseWith();
  expect(codes(appraisal)).toEqual({ platform: "pass", code: "pass", key: "pass", freshness: "pass", model: "pass" });
  expect(appraisal.simulated).toBe(true);
  expect(appraisal.signingKey).toEqual({ spki: SPKI, keyId: teeIdOf(SPKI) });
});

describe("where the platform does not hold, nothing under it does", () => {
  const below = {
    code: "skip platform_not_verified",
    key: "skip platform_not_verified",
    freshness: "skip platform_not_verified",
    model: "skip platform_not_verified",
  };

  test.each<[string, Changes, string]>([
    ["there is no evidence", { evidence: () => [] }, "skip no_attestation"],
    ["there is only a manifest", { evidence: ([, manifest]) => [manifest as Evidence] }, "skip no_attestation"],
    [
      "there are two documents, even if equal",
      { evidence: ([nitro]) => [nitro as Evidence, nitro as Evidence] },
      "fail ambiguous_evidence",
    ],
    ["the policy accepts AWS's root only", { policy: () => ({ simulatedRoots: [] }) }, "fail trust_anchor"],
    ["the certificates have expired", { at: new Date(Date.now() + 86_400_000) }, "fail certificate_validity"],
    [
      "the enclave is a debug enclave",
      { payload: { pcrs: new Map([...MEASURED, [0, new Uint8Array(48)]]) } },
      "fail debug",
    ],
    [
      "the document is no document",
      { evidence: ([nitro]) => [{ ...nitro, document: toBase64(utf8("none")) } as Evidence] },
      "fail malformed",
    ],
  ])("%s", async (_name, changes, platform) => {
    const appraisal = await appraiseWith(changes);
    expect(codes(appraisal)).toEqual({ platform, ...below });
    expect(appraisal).toMatchObject({ signingKey: null, simulated: false });
  });

  test("evidence that no schema would let in makes every layer fail, and throws nothing", async () => {
    for (const nitro of [{ kind: "tee.nitro" }, { kind: "tee.nitro", document: "?" }, null]) {
      const appraisal = await appraiseWith({ evidence: () => [nitro as unknown as Evidence] });
      expect(appraisal.layers.platform.status).toBe("fail");
      expect(appraisal).toMatchObject({ signingKey: null, simulated: false });
    }
  });
});

describe("code", () => {
  const set = setOf(measured(MANIFEST));

  test.each<[string, object, string]>([
    ["one set of several", { measurements: [{ ...set, 0: "ab".repeat(48) }, set] }, "pass"],
    ["no set", { measurements: [] }, "skip no_reference_values"],
    ["a set with another PCR0", { measurements: [{ ...set, 0: "ab".repeat(48) }] }, "fail measurements_unknown"],
    ["a set with another PCR1", { measurements: [{ ...set, 1: "ab".repeat(48) }] }, "fail measurements_unknown"],
    ["a set with another PCR2", { measurements: [{ ...set, 2: "ab".repeat(48) }] }, "fail measurements_unknown"],
    [
      "a set with a register the document lacks",
      { measurements: [{ ...set, 8: "ab".repeat(48) }] },
      "fail measurements_unknown",
    ],
    ["a set without PCR2", { measurements: [{ 0: set["0"], 1: set["1"] }] }, "fail measurements_unknown"],
    ["an empty set", { measurements: [{}] }, "fail measurements_unknown"],
    [
      "two sets that match only together",
      {
        measurements: [
          { ...set, 0: "ab".repeat(48) },
          { ...set, 1: "ab".repeat(48) },
        ],
      },
      "fail measurements_unknown",
    ],
  ])("is compared in full with %s", async (_name, reference, expected) => {
    expect(codes(await appraiseWith({ policy: references(reference) }))["code"]).toBe(expected);
  });

  test.each(["another", "toString", "__proto__", "constructor"])("of seller %s has no reference values", async (id) => {
    const layers = codes(await appraiseWith({ sellerId: id }));
    expect(layers).toMatchObject({ code: "skip no_reference_values", model: "skip no_reference_digest" });
  });

  test("that is not known leaves the key unknown too, and a key that is not bound leaves the code known", async () => {
    const unknown = await appraiseWith({ policy: references({ measurements: [{ ...set, 0: "ab".repeat(48) }] }) });
    expect(codes(unknown)).toMatchObject({
      platform: "pass",
      code: "fail measurements_unknown",
      key: "skip key_not_known",
    });
    const unbound = await appraiseWith({ publicKey: utf8("another key") });
    expect(codes(unbound)).toMatchObject({ platform: "pass", code: "pass", key: "fail key_mismatch" });
  });
});

describe("key", () => {
  const bound = encodeUserData({ tlsCertificate: null, signingKeySpki: SPKI });

  test.each<[string, Changes, string]>([
    ["is another than the bound one", { publicKey: utf8("another key") }, "fail key_mismatch"],
    ["is not named by the document", { payload: { userData: null } }, "fail key_not_bound"],
    ["is bound by an empty user_data", { payload: { userData: new Uint8Array(0) } }, "fail key_not_bound"],
    ["is bound by its bare digest", { payload: { userData: sha256(SPKI) } }, "fail key_not_bound"],
    [
      "is bound by a longer user_data",
      { payload: { userData: concatBytes(bound, new Uint8Array(1)) } },
      "fail key_not_bound",
    ],
    [
      "stands where the certificate's digest belongs",
      { payload: { userData: encodeUserData({ tlsCertificate: SPKI, signingKeySpki: utf8("x") }) } },
      "fail key_mismatch",
    ],
    [
      "stands in public_key, which binds nothing",
      { payload: { userData: null, publicKey: SPKI } },
      "fail key_not_bound",
    ],
  ])("does not pass where it %s", async (_name, changes, expected) => {
    const appraisal = await appraiseWith(changes);
    expect(codes(appraisal)["key"]).toBe(expected);
    expect(appraisal.signingKey).toBeNull();
  });
});

describe("TLS", () => {
  const CERTIFICATE = utf8("a certificate");
  const named = { userData: encodeUserData({ tlsCertificate: CERTIFICATE, signingKeySpki: SPKI }) };
  const seen = (certificate: Bytes): NonNullable<Changes["evidence"]> => {
    const peer = { kind: "tls.peer" as const, certificateSha256: toHex(sha256(certificate)) };
    return (usual) => [...usual, peer];
  };

  test.each<[string, Changes, string, RegExp]>([
    [
      "with the certificate that is named",
      { payload: named, evidence: seen(CERTIFICATE) },
      "pass",
      /is the one that it names\.$/,
    ],
    ["with another", { payload: named, evidence: seen(SPKI) }, "fail tls_mismatch", /is not the one/],
    ["of which nothing is on record", { payload: named }, "skip tls_not_recorded", /is not on record/],
    ["where none is named", { evidence: seen(CERTIFICATE) }, "pass", /names no TLS certificate\.$/],
    [
      "of a key that is not bound",
      { payload: named, publicKey: utf8("another key"), evidence: seen(SPKI) },
      "fail key_mismatch",
      /is not the one inside/,
    ],
    ["of a key that nothing binds", { payload: { userData: null } }, "fail key_not_bound", /does not bind/],
  ])("%s", async (_name, changes, key, note) => {
    const appraisal = await appraiseWith(changes);
    expect(codes(appraisal)["key"]).toBe(key);
    expect(appraisal.layers.key.note).toMatch(note);
    expect(appraisal.tls === null).toBe(/key_not_bound|key_mismatch/.test(key));
  });
});

describe("a bound key", () => {
  const keyId = teeIdOf(SPKI);
  const other = `0x${"00".repeat(32)}`;

  test.each<[string, object, string]>([
    ["is not known to a policy that knows no code and no key", {}, "skip key_not_known"],
    ["is known where the policy names it", { keyIds: [other, keyId] }, "pass"],
    ["is refused where the policy names others and the code is not known", { keyIds: [other] }, "fail key_not_pinned"],
    ["is known by its code, whatever else is named", { keyIds: [other], measurements: "its own" }, "pass"],
  ])("%s", async (_name, reference, expected) => {
    const measurements = "measurements" in reference ? [setOf(measured(MANIFEST))] : [];
    const appraisal = await appraiseWith({ policy: references({ ...reference, measurements }) });
    expect(codes(appraisal)["key"]).toBe(expected);
    expect(appraisal.signingKey).toEqual({ spki: SPKI, keyId });
  });

  test("is not known of a seller that the policy does not know", async () => {
    expect(codes(await appraiseWith({ sellerId: "another" }))["key"]).toBe("skip key_not_known");
  });
});

describe("freshness", () => {
  const short = new Uint8Array(15).fill(9);

  test("passes with a nonce of 16 bytes", async () => {
    const nonce = new Uint8Array(16).fill(9);
    expect(codes(await appraiseWith({ payload: { nonce }, nonce }))["freshness"]).toBe("pass");
  });

  test.each<[string, Changes, string]>([
    ["answers another nonce", { payload: { nonce: new Uint8Array(20).fill(8) } }, "fail nonce_mismatch"],
    ["answers none", { payload: { nonce: null } }, "fail nonce_mismatch"],
    ["answers the beginning of the nonce", { payload: { nonce: NONCE.subarray(0, 19) } }, "fail nonce_mismatch"],
    [
      "answers the nonce and more",
      { payload: { nonce: concatBytes(NONCE, new Uint8Array(1)) } },
      "fail nonce_mismatch",
    ],
    ["answers a nonce of 15 bytes", { payload: { nonce: short }, nonce: short }, "fail nonce_too_short"],
  ])("does not pass where the document %s", async (_name, changes, expected) => {
    expect(codes(await appraiseWith(changes))["freshness"]).toBe(expected);
  });

  test("bounds the document's age on both sides, in milliseconds", async () => {
    const policy = () => ({ maxAttestationAgeSeconds: 600, clockSkewSeconds: 30 });
    const at = async (milliseconds: number): Promise<string | undefined> =>
      codes(await appraiseWith({ policy, at: new Date(chain.at.getTime() + milliseconds) }))["freshness"];
    expect(await at(600_000)).toBe("pass");
    expect(await at(600_001)).toBe("fail document_too_old");
    expect(await at(-30_000)).toBe("pass");
    expect(await at(-30_001)).toBe("fail document_from_future");
  });

  test("leaves only the policy's own age limit unjudged where the policy asks for no freshness", async () => {
    const policy = () => ({ assurance: "signed" as const, maxAttestationAgeSeconds: 600, clockSkewSeconds: 30 });
    const freshness = async (changes: Changes): Promise<string | undefined> =>
      codes(await appraiseWith({ policy, ...changes }))["freshness"];
    expect(await freshness({ at: new Date(chain.at.getTime() + 600_001) })).toBe("skip document_too_old");
    expect(await freshness({ at: new Date(chain.at.getTime() - 30_001) })).toBe("fail document_from_future");
    expect(await freshness({ payload: { nonce: null } })).toBe("fail nonce_mismatch");
  });
});

describe("model", () => {
  const entry = { name: MODEL, sha256: DIGEST };
  const other = { name: "other", sha256: "11".repeat(32) };

  test.each<[string, Changes, string]>([
    ["there is no manifest", { evidence: ([nitro]) => [nitro as Evidence] }, "skip weights_not_measured"],
    [
      "there are two manifests",
      { evidence: ([nitro, manifest]) => [nitro as Evidence, manifest as Evidence, manifest as Evidence] },
      "fail ambiguous_evidence",
    ],
    [
      "the manifest is not the measured one",
      {
        evidence: ([nitro]) => [
          nitro as Evidence,
          { kind: "model.manifest", manifest: toBase64(manifestOf([{ ...entry, sha256: "22".repeat(32) }, other])) },
        ],
      },
      "fail manifest_not_measured",
    ],
    ["the model is not in it", { model: "third" }, "fail model_not_attested"],
    ["the policy names no digest", { policy: references({}) }, "skip no_reference_digest"],
    [
      "the policy names another digest",
      { policy: references({ models: { [MODEL]: "22".repeat(32) } }) },
      "fail model_mismatch",
    ],
    [
      "the policy names the digest of another model",
      { policy: references({ models: { other: DIGEST } }) },
      "skip no_reference_digest",
    ],
    [
      "a model is named twice",
      { manifest: manifestOf([entry, { ...entry, sha256: "22".repeat(32) }]) },
      "fail manifest_malformed",
    ],
    ["a model is named twice alike", { manifest: manifestOf([entry, entry]) }, "fail manifest_malformed"],
    ["an entry says more", { manifest: manifestOf([{ ...entry, sha512: "" }]) }, "fail manifest_malformed"],
    ["an entry says less", { manifest: manifestOf([entry, { name: "other" }]) }, "fail manifest_malformed"],
    ["an entry is no entry", { manifest: manifestOf([entry, null]) }, "fail manifest_malformed"],
    [
      "a digest is in capitals",
      { manifest: manifestOf([{ ...entry, sha256: "5A".repeat(32) }]) },
      "fail manifest_malformed",
    ],
    ["it is no list", { manifest: manifestOf({ [MODEL]: DIGEST }) }, "fail manifest_malformed"],
    ["it is not JSON", { manifest: utf8("[") }, "fail manifest_malformed"],
    ["it is not UTF-8", { manifest: new Uint8Array([0xff]) }, "fail manifest_malformed"],
    ["it has room between its words", { manifest: utf8(`[ ${JSON.stringify(entry)}]`) }, "fail manifest_malformed"],
    [
      "an entry names a key twice",
      { manifest: utf8(`[{"name":"${MODEL}","sha256":"${"22".repeat(32)}","sha256":"${DIGEST}"}]`) },
      "fail manifest_malformed",
    ],
    ["it is nested a million deep", { manifest: utf8("[".repeat(1_000_000)) }, "fail manifest_malformed"],
    [
      "it begins with a byte order mark",
      { manifest: concatBytes(new Uint8Array([0xef, 0xbb, 0xbf]), manifestOf([entry])) },
      "fail manifest_malformed",
    ],
  ])("does not pass where %s", async (_name, changes, expected) => {
    expect(codes(await appraiseWith(changes))["model"]).toBe(expected);
  });

  test("T112: counts as measured by an extended PCR too, if known code extended it, by nothing near it", async () => {
    const image = { measurements: [setOf(new Map(MEASURED))], models: { [MODEL]: DIGEST } };
    const judged = async (extended: Bytes, reference: object): Promise<string | undefined> => {
      const payload = { pcrs: new Map([...MEASURED, [16, extended] as const]) };
      return codes(await appraiseWith({ payload, policy: references(reference) }))["model"];
    };
    const digest = sha384(MANIFEST);
    expect(await judged(extendedPcr(digest), image)).toBe("pass");
    expect(await judged(extendedPcr(digest), { ...image, models: {} })).toBe("skip no_reference_digest");
    expect(await judged(extendedPcr(digest), { models: image.models })).toBe("skip weights_not_measured");
    const unknown = { ...image, measurements: [{ "0": "11".repeat(48), "1": "22".repeat(48), "2": "33".repeat(48) }] };
    expect(await judged(extendedPcr(digest), unknown)).toBe("skip weights_not_measured");
    for (const near of [digest, extendedPcr(MANIFEST), extendedPcr(extendedPcr(digest)), new Uint8Array(48)])
      expect(await judged(near, image)).toBe("fail manifest_not_measured");
  });

  test("is one of ten thousand at most", async () => {
    const others = Array.from({ length: 9999 }, (_, at) => ({ ...other, name: `other ${at}` }));
    const judged = async (entries: unknown[]) => codes(await appraiseWith({ manifest: manifestOf(entries) }))["model"];
    expect(await judged([entry, ...others])).toBe("pass");
    expect(await judged([entry, other, ...others])).toBe("fail manifest_malformed");
  });

  test("of a name that objects have of themselves is not found by it", async () => {
    for (const name of ["toString", "__proto__"]) {
      const layers = codes(await appraiseWith({ model: name, manifest: manifestOf([{ name, sha256: DIGEST }]) }));
      expect(layers["model"]).toBe("skip no_reference_digest");
    }
  });
});

test("a session gives each time, root and key its own answer", async () => {
  const session = createVerificationCache();
  const document = await signDocument(chain, payloadOf(chain, { nonce: NONCE }));
  const evidence: Evidence[] = [
    {
      kind: "tee.nitro",
      document: toBase64(document),
      nonce: toHex(NONCE),
      publicKey: toBase64(SPKI),
      fetchedAt: chain.at.toISOString(),
    },
  ];
  const platform = async (roots: string[], at: Date): Promise<string> => {
    const policy = appraisalPolicySchema.parse({ simulatedRoots: roots });
    const { layers } = await appraiseAttestation({
      evidence,
      sellerId: SELLER,
      model: MODEL,
      policy,
      evaluateAt: at,
      session,
    });
    return brief(layers.platform);
  };
  const late = new Date(chain.at.getTime() + 86_400_000);
  expect(await platform([chain.rootSha256], chain.at)).toBe("pass");
  expect(await platform([], chain.at)).toBe("fail trust_anchor");
  expect(await platform([chain.rootSha256], late)).toBe("fail certificate_validity");
  expect(await platform([], late)).toBe("fail trust_anchor");
  expect(await platform([chain.rootSha256], chain.at)).toBe("pass");
});
