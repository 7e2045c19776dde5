import { beforeAll, describe, expect, test } from "vitest";
import { fromBase64, fromHex, keccak256, sha256, toBase64, toHex, utf8 } from "../../src/evidence/bytes.ts";
import type { TransferEvidence } from "../../src/receipts/transfer-schema.ts";
import { formatOf } from "../../src/evidence/exchange/formats.ts";
import { teeIdOf } from "../../src/evidence/tee-signature.ts";
import type { LayerResult, NitroEvidence, ReceiptCore } from "../../src/receipts/schema.ts";
import type { TeeSignatureEvidence } from "../../src/receipts/signature-schema.ts";
import { judgeTensorFormat, readTensors } from "../../src/verify/layers/answer.ts";
import { judgeCarried, judgeNamedModel, judgeRequest, judgeResponse } from "../../src/verify/layers/exchange.ts";
import type { AppraisalPolicy } from "../../src/verify/policy.ts";
import { createVerificationCache } from "../../src/verify/verification-cache.ts";
import { judgeSignature } from "../../src/verify/layers/signature.ts";
import { judgePlace } from "../../src/verify/layers/terms.ts";
import { fail, pass, skip } from "../../src/verify/types.ts";
import { makeFixture, type Fixture } from "../support/fixture-receipt.ts";

let fixture: Fixture;
let other: Fixture;
beforeAll(async () => {
  [fixture, other] = await Promise.all([makeFixture(), makeFixture()]);
});

const coreWith = (change: (core: ReceiptCore) => void, { receipt }: Fixture = fixture): ReceiptCore => {
  const core = structuredClone(receipt.core);
  change(core);
  return core;
};
/** The core with other bytes, which its hashes name. */
const withBody = (part: "request" | "response", text: string): ReceiptCore => {
  const bytes = utf8(text);
  const body = { body: toBase64(bytes), sha256: toHex(sha256(bytes)), keccak256: toHex(keccak256(bytes)) };
  return coreWith((core) => void Object.assign(core[part], body));
};
const brief = (result: LayerResult | null): string => (result === null ? "null" : `${result.status} ${result.code}`);
const [signed, unsigned, wrong] = [pass("signed"), skip("not_signed", "none"), fail("signature_invalid", "wrong")];
const seller = (changes: object): AppraisalPolicy => ({
  ...fixture.policy,
  sellers: { fixture: { ...fixture.policy.sellers["fixture"]!, ...changes } },
});

describe("the request", () => {
  const judged = (core: ReceiptCore, signature = signed, policy = fixture.policy): string =>
    brief(judgeRequest(core, signature, policy));

  test("passes where it is signed and went to the seller of the policy", () => {
    expect(judged(fixture.receipt.core)).toBe("pass ok");
    expect(judged(fixture.receipt.core, unsigned)).toBe("skip not_signed");
    expect(judged(fixture.receipt.core, wrong)).toBe("skip not_signed");
  });

  test.each(["sha256", "keccak256"] as const)("fails where its bytes have another %s than is told", (hash) => {
    expect(judged(coreWith(({ request }) => (request[hash] = "ab".repeat(32))))).toBe("fail body_hash_mismatch");
    const response = brief(
      judgeResponse(
        coreWith((core) => (core.response[hash] = "ab".repeat(32))),
        signed,
      ),
    );
    expect(response).toBe("fail body_hash_mismatch");
  });

  test.each([["no JSON"], ["[]"], ["null"], ['"text"'], ["{}"], ['{"id":"another"}']])(
    "fails where its bytes do not carry the nonce: %s",
    (text) => {
      expect(judged(withBody("request", text))).toBe("fail nonce_missing");
      expect(brief(judgeCarried(withBody("request", text)))).toBe("fail request_not_bound");
    },
  );

  test("fails where its bytes or the answer's name a key twice, even with one value", () => {
    const { nonce } = fixture.receipt.core.request;
    expect(judged(withBody("request", `{"id":"${nonce}"}`))).toBe("pass ok");
    expect(judged(withBody("request", `{"id":"${nonce}","id":"${nonce}"}`))).toBe("fail body_ambiguous");
    const named = (text: string): string =>
      brief(judgeNamedModel(withBody("response", text), pass("measured"), signed));
    const { model } = fixture.receipt.core.request;
    const rest = `"model_name":"${model}","id":"${nonce}"}`;
    expect(named(`{${rest}`)).toBe("pass ok");
    expect(named(`{"model_name":"${model}",${rest}`)).toBe("fail body_ambiguous");
  });

  test("needs no bytes to be signed, and its nonce is then in the answer's", () => {
    const left = coreWith(({ request }) => delete request.body);
    expect(judged(left)).toBe("pass ok");
    expect(judgeCarried(left)).toBe(null);
    const [request, response] = [left.request, { ...left.response }];
    delete response.body;
    expect(brief(judgeCarried({ ...left, request, response }))).toBe("skip bodies_redacted");
  });

  test.each<[string, object, string, string]>([
    ["of both", {}, "pass ok", "null"],
    ["of no origin", { origin: undefined }, "skip seller_not_pinned", "skip seller_not_pinned"],
    ["of no kind", { provider: undefined }, "skip seller_not_pinned", "skip seller_not_pinned"],
    ["of another origin", { origin: "https://bank.example" }, "fail origin_mismatch", "fail origin_mismatch"],
    ["of another kind", { provider: "bank" }, "fail provider_mismatch", "fail provider_mismatch"],
  ])("is compared with a policy %s", (_name, changes, request, place) => {
    expect(judged(fixture.receipt.core, signed, seller(changes))).toBe(request);
    // Another place contradicts, signed or not.
    const unseen = place.startsWith("fail") ? place : "skip not_signed";
    expect(judged(fixture.receipt.core, unsigned, seller(changes))).toBe(unseen);
    expect(brief(judgePlace(fixture.receipt.core, seller(changes)))).toBe(place);
  });

  test("to a kind of seller whose format is not known shows nothing, and to another kind than the policy's contradicts", () => {
    const foreign = coreWith(({ seller: one }) => (one.provider = "of-tomorrow"));
    expect(judged(foreign, signed, seller({ provider: "of-tomorrow" }))).toBe("unsupported exchange_format_unknown");
    expect(judged(foreign)).toBe("fail provider_mismatch");
    expect(brief(judgeCarried(foreign))).toBe("unsupported exchange_format_unknown");
    expect(brief(judgeNamedModel(foreign, pass("measured"), signed))).toBe("unsupported exchange_format_unknown");
    expect(brief(judgeTensorFormat(formatOf(foreign.seller.provider)))).toBe("unsupported exchange_format_unknown");
    expect(judgeTensorFormat(formatOf("oip"))).toBe(null);
    const unread = { ok: false, reason: "other_format" };
    expect(readTensors(foreign, "request")).toEqual(unread);
    expect(
      readTensors(
        coreWith(({ request }) => delete request.body),
        "request",
      ),
    ).toEqual(unread);
    expect(readTensors(fixture.receipt.core, "request").ok).toBe(true);
    const { readTensors: _none, ...wordy } = formatOf("oip")!;
    expect(brief(judgeTensorFormat(wordy))).toBe("unsupported exchange_format_unread");
  });

  test("is not compared with a policy that does not know the seller, nor with what every object has", () => {
    const none = { ...fixture.policy, sellers: {} };
    expect(judged(fixture.receipt.core, signed, none)).toBe("skip no_policy");
    expect(judged(coreWith((core) => (core.seller.id = "constructor")))).toBe("skip no_policy");
  });
});

describe("the answer", () => {
  test.each([
    [199, "fail status_not_ok"],
    [200, "pass ok"],
    [201, "skip status_of_another_format"],
    [299, "skip status_of_another_format"],
    [300, "fail status_not_ok"],
  ])("with status %i: %s", (status, code) => {
    expect(
      brief(
        judgeResponse(
          coreWith(({ response }) => (response.status = status)),
          signed,
        ),
      ),
    ).toBe(code);
  });

  test("is what its signature is", () => {
    const created = coreWith(({ response }) => (response.status = 201));
    for (const one of [unsigned, wrong]) expect(judgeResponse(created, one)).toBe(one);
    for (const one of [signed, unsigned, wrong]) expect(judgeResponse(fixture.receipt.core, one)).toBe(one);
  });

  test.each<[string, Omit<TransferEvidence, "kind">, string]>([
    ["is cut", { coding: null, cut: "too_large" }, "skip answer_cut"],
    ["was coded and is decoded", { coding: { name: "gzip", decoded: true }, cut: null }, "null"],
  ])("that %s blames nobody, but for what it says", (_name, transfer, code) => {
    const came = (body: string | null): ReceiptCore => {
      const core = body === null ? structuredClone(fixture.receipt.core) : withBody("response", body);
      return { ...core, evidence: [...core.evidence, { kind: "transfer.http", ...transfer }] };
    };
    const instead = (otherwise: string): string => (code === "null" ? otherwise : code);
    expect(brief(judgeResponse(came(null), signed))).toBe("pass ok");
    expect(brief(judgeResponse(came(null), wrong))).toBe(instead("fail signature_invalid"));
    expect(brief(judgeResponse(came(null), unsigned))).toBe(instead("skip not_signed"));
    const measured = pass("measured");
    expect(brief(judgeNamedModel(came("{"), measured, signed))).toBe(instead("fail model_name_mismatch"));
    expect(brief(judgeNamedModel(came('{"model_name":"other"}'), measured, signed))).toBe("fail model_name_mismatch");
    expect(brief(judgeNamedModel(came(null), measured, signed))).toBe("pass ok");
  });

  test.each(["gzip", "foo"])("that is said to be coded (%s) and reads as an answer is judged as one", (name) => {
    const coded = (core: ReceiptCore): ReceiptCore => ({
      ...core,
      evidence: [...core.evidence, { kind: "transfer.http", coding: { name, decoded: false }, cut: null }],
    });
    for (const one of [signed, unsigned, wrong]) expect(judgeResponse(coded(fixture.receipt.core), one)).toBe(one);
    for (const body of ["{", "stolen"]) {
      expect(brief(judgeResponse(coded(withBody("response", body)), wrong))).toBe("skip answer_coded");
      expect(brief(judgeNamedModel(coded(withBody("response", body)), pass("measured"), signed))).toBe(
        "skip answer_coded",
      );
    }
  });

  test.each([199, 302, 402, 422, 500])("of status %i names no model, and is accused of none", (status) => {
    const refusal = withBody("response", '{"error":"The model cannot run on these inputs."}');
    const core = { ...refusal, response: { ...refusal.response, status } };
    for (const signature of [signed, unsigned])
      expect(brief(judgeNamedModel(core, pass("measured"), signature))).toBe("skip not_answered");
    const unmeasured = skip("weights_not_measured", "none");
    expect(judgeNamedModel(core, unmeasured, signed)).toBe(unmeasured);
  });

  test("is called signed only where its signature passed", () => {
    const { nonce } = fixture.receipt.core.request;
    for (const body of [`{"model_name":"other","id":"${nonce}"}`, '{"model_name":"eth-risk","id":"other"}']) {
      const core = withBody("response", body);
      expect(judgeNamedModel(core, pass("measured"), signed).note).toMatch(/^The signed answer /);
      expect(judgeNamedModel(core, pass("measured"), unsigned).note).toMatch(/^The answer /);
    }
  });

  test("names the model that was asked for, and echoes the nonce", () => {
    const { nonce } = fixture.receipt.core.request;
    const measured = pass("measured");
    const unmeasured = skip("weights_not_measured", "none");
    const cases: [ReceiptCore, string][] = [
      [fixture.receipt.core, "pass ok"],
      [coreWith(({ request }) => (request.path = "/v2/models/other/infer")), "fail path_mismatch"],
      [withBody("response", `{"model_name":"other","id":"${nonce}"}`), "fail model_name_mismatch"],
      [withBody("response", '{"model_name":"eth-risk","id":"other"}'), "fail nonce_mismatch"],
      [withBody("response", "[1]"), "fail model_name_mismatch"],
      [coreWith(({ response }) => delete response.body), "skip body_redacted"],
    ];
    for (const [core, code] of cases) {
      expect(brief(judgeNamedModel(core, measured, signed))).toBe(code);
      expect(brief(judgeNamedModel(core, measured, unsigned))).toBe(code);
      // Where no weights were measured a name shows nothing, and another name contradicts what was signed.
      const contradicts = code.startsWith("fail") ? code : "skip weights_not_measured";
      expect(brief(judgeNamedModel(core, unmeasured, signed))).toBe(contradicts);
      expect(judgeNamedModel(core, unmeasured, unsigned)).toBe(unmeasured);
      expect(judgeNamedModel(core, wrong, unsigned)).toBe(wrong);
    }
  });
});

describe("the signature", () => {
  const evidenceOf = (core: ReceiptCore): TeeSignatureEvidence =>
    core.evidence.find((one): one is TeeSignatureEvidence => one.kind === "signature.tee")!;
  const spkiOf = ({ receipt }: Fixture): Uint8Array<ArrayBuffer> => {
    const attestation = receipt.core.evidence.find((one): one is NitroEvidence => one.kind === "tee.nitro");
    return new Uint8Array(fromBase64(attestation!.publicKey));
  };
  type Signer = Parameters<typeof judgeSignature>[1];
  const signer = (of: Fixture, changes: Partial<Signer> = {}): Signer => ({
    key: { spki: spkiOf(of), keyId: teeIdOf(spkiOf(of)) },
    known: true,
    ...changes,
  });
  const judged = async (core: ReceiptCore, by: Signer = signer(fixture)): Promise<string> =>
    brief(await judgeSignature(core, by, fixture.policy, createVerificationCache()));
  const claiming = (change: Partial<TeeSignatureEvidence>): ReceiptCore =>
    coreWith((core) => void Object.assign(evidenceOf(core), change));

  test("by a key that is known passes, by another it shows nothing", async () => {
    expect(await judged(fixture.receipt.core)).toBe("pass ok");
    expect(await judged(fixture.receipt.core, signer(fixture, { known: false }))).toBe("skip key_not_known");
    expect(await judged(fixture.receipt.core, signer(fixture, { key: null }))).toBe("skip key_not_verified");
  });

  test("that is missing or there twice", async () => {
    expect(await judged(coreWith((core) => (core.evidence = [])))).toBe("skip not_signed");
    expect(await judged(coreWith((core) => core.evidence.push(evidenceOf(core))))).toBe("fail ambiguous_evidence");
  });

  test("is by the attested key, in each place that names it", async () => {
    const { keyId } = signer(other).key!;
    expect(await judged(claiming({ teeId: keyId }))).toBe("fail key_mismatch");
    expect(await judged(coreWith(({ seller: one }) => (one.keyId = keyId)))).toBe("fail key_mismatch");
    const mixed = { spki: spkiOf(other), keyId: signer(fixture).key!.keyId };
    expect(await judged(fixture.receipt.core, { key: mixed, known: true })).toBe("fail key_mismatch");
  });

  test("is of these hashes and of this time", async () => {
    expect(await judged(claiming({ requestHash: "ab".repeat(32) }))).toBe("fail request_hash_mismatch");
    expect(await judged(claiming({ outputHash: "ab".repeat(32) }))).toBe("fail output_hash_mismatch");
    const others = evidenceOf(other.receipt.core).signature;
    expect(await judged(claiming({ signature: others }))).toBe("fail signature_invalid");
    const long = toBase64(new Uint8Array([0, ...fromBase64(evidenceOf(fixture.receipt.core).signature)]));
    expect(await judged(claiming({ signature: long }))).toBe("fail signature_invalid");
  });

  test("is within the time of the exchange, give or take what clocks may differ", async () => {
    const { timestamp } = evidenceOf(fixture.receipt.core);
    const { clockSkewSeconds } = fixture.policy;
    const timed = (sentAfter: number, receivedAfter: number): Promise<string> =>
      judged(
        coreWith(({ request, response }) => {
          request.sentAt = new Date(timestamp * 1000 + sentAfter).toISOString();
          response.receivedAt = new Date(timestamp * 1000 + receivedAfter).toISOString();
        }),
      );
    // A signed time has whole seconds.
    expect(await timed((clockSkewSeconds + 1) * 1000, 1e6)).toBe("pass ok");
    expect(await timed((clockSkewSeconds + 1) * 1000 + 1, 1e6)).toBe("fail signature_time");
    expect(await timed(-1e6, -clockSkewSeconds * 1000)).toBe("pass ok");
    expect(await timed(-1e6, -clockSkewSeconds * 1000 - 1)).toBe("fail signature_time");
  });

  test.each([
    [1024, "fail key_unusable"],
    [2047, "fail key_unusable"],
    [2048, "fail signature_invalid"],
    [8192, "fail signature_invalid"],
    [8193, "fail key_unusable"],
  ])("by a key of %i bits: %s", async (bits, code) => {
    const spki = spkiOfModulus(bits);
    const keyId = teeIdOf(spki);
    const core = coreWith((one) => {
      one.seller.keyId = keyId;
      Object.assign(evidenceOf(one), {
        teeId: keyId,
        signature: toBase64(new Uint8Array(Math.ceil(bits / 8)).fill(1)),
      });
    });
    expect(await judged(core, { key: { spki, keyId }, known: true })).toBe(code);
  });

  test("by what is no key cannot be checked", async () => {
    const spki = new Uint8Array(3);
    const keyId = teeIdOf(spki);
    const core = coreWith((one) => {
      one.seller.keyId = keyId;
      evidenceOf(one).teeId = keyId;
    });
    expect(await judged(core, { key: { spki, keyId }, known: true })).toBe("fail key_unusable");
  });
});

/** DER of a SubjectPublicKeyInfo (RFC 8017 §A.1.1) of a modulus that nobody can factor for us, with exponent 65537. */
function spkiOfModulus(bits: number): Uint8Array<ArrayBuffer> {
  const der = (tag: number, ...parts: Uint8Array[]): Uint8Array => {
    const content = parts.flatMap((part) => [...part]);
    const size = content.length;
    const length = size < 128 ? [size] : size < 256 ? [0x81, size] : [0x82, size >> 8, size & 255];
    return new Uint8Array([tag, ...length, ...content]);
  };
  const modulus = new Uint8Array(Math.ceil(bits / 8)).fill(0xa5);
  modulus[0] = 1 << ((bits - 1) % 8);
  const key = der(
    0x30,
    der(0x02, new Uint8Array(bits % 8 === 0 ? [0, ...modulus] : modulus)),
    der(0x02, fromHex("010001")),
  );
  const rsaEncryption = der(0x30, fromHex("06092a864886f70d010101"), fromHex("0500"));
  return new Uint8Array(der(0x30, rsaEncryption, der(0x03, new Uint8Array([0, ...key]))));
}
