import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { beforeAll, describe, expect, test } from "vitest";
import { z } from "zod";
import { decodeUserData, encodeUserData } from "../../src/evidence/attestation.ts";
import { concatBytes, fromBase64, fromHex, keccak256, sha256, toHex, utf8 } from "../../src/evidence/bytes.ts";
import { TEE_SIGNATURE_ALGORITHM, teeIdOf, teeMessageHash } from "../../src/evidence/tee-signature.ts";
import { vectorsDirectory } from "../support/vectors.ts";

const shared = await vectorsDirectory();

const vectorSchema = z.object({
  signature: z.object({
    spki_der_b64: z.string(),
    tee_id: z.string(),
    output: z.string(),
    tee_timestamp: z.number(),
    tee_request_hash: z.string(),
    tee_output_hash: z.string(),
    msg_hash: z.string(),
    tee_signature: z.string(),
  }),
  empty_output_hash: z.string(),
});

describe.skipIf(shared === null)("the gateway's signature vector", () => {
  let vector: z.infer<typeof vectorSchema>;
  beforeAll(async () => {
    const file = join(shared ?? "", "opengradient", "opengradient-vectors.json");
    vector = vectorSchema.parse(JSON.parse(await readFile(file, "utf8")));
  });
  const messageOf = ({ signature: s }: typeof vector, timestamp = s.tee_timestamp) =>
    teeMessageHash({ requestHash: fromHex(s.tee_request_hash), outputHash: fromHex(s.tee_output_hash), timestamp });

  test("has the id, the hashes and the message that this format computes", () => {
    const { signature: s } = vector;
    expect(teeIdOf(fromBase64(s.spki_der_b64))).toBe(s.tee_id);
    expect(toHex(keccak256(utf8(s.output)))).toBe(s.tee_output_hash);
    expect(toHex(messageOf(vector))).toBe(s.msg_hash.replace(/^0x/, ""));
    expect(toHex(keccak256(new Uint8Array(0)))).toBe(vector.empty_output_hash);
  });

  test("verifies over that message, and over no other time", async () => {
    const { signature: s } = vector;
    const { name, hash } = TEE_SIGNATURE_ALGORITHM;
    const key = await crypto.subtle.importKey("spki", fromBase64(s.spki_der_b64), { name, hash }, false, ["verify"]);
    const verify = (message: BufferSource): Promise<boolean> =>
      crypto.subtle.verify(TEE_SIGNATURE_ALGORITHM, key, fromBase64(s.tee_signature), message);
    expect(await verify(messageOf(vector))).toBe(true);
    expect(await verify(messageOf(vector, s.tee_timestamp + 1))).toBe(false);
  });
});

describe("user_data", () => {
  const [tlsCertificate, signingKeySpki] = [utf8("certificate"), utf8("key")];

  test("binds two digests in 68 bytes", () => {
    const encoded = encodeUserData({ tlsCertificate, signingKeySpki });
    expect(encoded).toHaveLength(68);
    expect(decodeUserData(encoded)).toEqual({
      tlsCertificateSha256: sha256(tlsCertificate),
      signingKeySha256: sha256(signingKeySpki),
    });
  });

  test("names no certificate by 32 zero bytes", () => {
    const decoded = decodeUserData(encodeUserData({ tlsCertificate: null, signingKeySpki }));
    expect(decoded?.tlsCertificateSha256).toEqual(new Uint8Array(32));
    expect(decoded?.signingKeySha256).toEqual(sha256(signingKeySpki));
  });

  test("of any other length or prefix binds nothing", () => {
    const encoded = encodeUserData({ tlsCertificate, signingKeySpki });
    expect(decodeUserData(encoded.subarray(0, 67))).toBeNull();
    expect(decodeUserData(concatBytes(encoded, new Uint8Array(1)))).toBeNull();
    expect(decodeUserData(new Uint8Array(0))).toBeNull();
    for (const index of [0, 1, 34, 35]) {
      expect(decodeUserData(encoded.map((byte, i) => (i === index ? byte ^ 1 : byte)))).toBeNull();
    }
  });
});
