import { encode } from "cborg";
import fc from "fast-check";
import { beforeAll, describe, expect, test } from "vitest";
import { concatBytes, fromHex, toHex, utf8 } from "../../src/evidence/bytes.ts";
import { decodeNitroDocument, encodeNitroDocument, type NitroPayload } from "../../src/evidence/nitro.ts";

const ES384 = fromHex("a1013822");
const SIGNATURE = new Uint8Array(96).fill(7);

const PAYLOAD: NitroPayload = {
  moduleId: "i-0123-enc4567",
  digest: "SHA384",
  timestamp: 1_793_448_000_123,
  pcrs: new Map([0, 1, 2].map((index) => [index, new Uint8Array(48).fill(index + 1)])),
  certificate: new Uint8Array(500).fill(1),
  cabundle: [new Uint8Array(533).fill(2), new Uint8Array(700).fill(3)],
  publicKey: null,
  userData: new Uint8Array(68).fill(4),
  nonce: new Uint8Array(20).fill(5),
};

/** The payload as CBOR pairs, so that a test can break it. */
const pairs = (): [unknown, unknown][] => [
  ["module_id", PAYLOAD.moduleId],
  ["digest", "SHA384"],
  ["timestamp", PAYLOAD.timestamp],
  ["pcrs", PAYLOAD.pcrs],
  ["certificate", PAYLOAD.certificate],
  ["cabundle", PAYLOAD.cabundle],
  ["public_key", null],
  ["user_data", PAYLOAD.userData],
  ["nonce", PAYLOAD.nonce],
];
const withField = (key: string, value: unknown): Uint8Array =>
  encode(new Map(pairs().map(([name, old]) => [name, name === key ? value : old])));
const withoutField = (key: string): Uint8Array => encode(new Map(pairs().filter(([name]) => name !== key)));
const sign1 = (payload: Uint8Array, header: Uint8Array = ES384, signature: Uint8Array = SIGNATURE): Uint8Array =>
  encode([header, new Map(), payload, signature]);

let document: Uint8Array;
beforeAll(async () => {
  document = await encodeNitroDocument({ payload: PAYLOAD, sign: () => Promise.resolve(SIGNATURE) });
});

const checkOf = (bytes: Uint8Array): string => {
  const decoded = decodeNitroDocument(bytes);
  return decoded.ok ? "ok" : decoded.check;
};

describe("a document", () => {
  test("says after decoding what was encoded, and shows the bytes that were signed", async () => {
    let signed: Uint8Array = new Uint8Array(0);
    const encoded = await encodeNitroDocument({
      payload: PAYLOAD,
      sign: (bytes) => {
        signed = bytes;
        return Promise.resolve(SIGNATURE);
      },
    });
    const decoded = decodeNitroDocument(encoded);
    if (!decoded.ok) throw new Error(decoded.message);
    expect(decoded.document.payload).toEqual(PAYLOAD);
    expect(decoded.document.signature).toEqual(SIGNATURE);
    expect(decoded.document.sigStructure).toEqual(signed);
    // RFC 9052 §4.4: an array of four that begins with the context string.
    expect(toHex(signed.subarray(0, 12))).toBe("846a5369676e617475726531");
  });

  const bytes = (min: number, max: number) => fc.uint8Array({ minLength: min, maxLength: max });
  const optional = fc.option(bytes(0, 600));

  test("of any content comes back as it was", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.record({
          moduleId: fc.string({ minLength: 1, maxLength: 60, unit: "grapheme-ascii" }),
          digest: fc.constant("SHA384" as const),
          timestamp: fc.integer({ min: 1, max: Number.MAX_SAFE_INTEGER }),
          pcrs: fc
            .uniqueArray(fc.tuple(fc.integer({ min: 0, max: 31 }), bytes(48, 48)), {
              minLength: 1,
              maxLength: 32,
              selector: ([index]) => index,
            })
            .map((entries) => new Map(entries.toSorted(([a], [b]) => a - b))),
          certificate: bytes(1, 900),
          cabundle: fc.array(bytes(1, 900), { minLength: 1, maxLength: 8 }),
          publicKey: optional,
          userData: optional,
          nonce: optional,
        }),
        async (payload) => {
          const encoded = await encodeNitroDocument({ payload, sign: () => Promise.resolve(SIGNATURE) });
          const decoded = decodeNitroDocument(encoded);
          expect(decoded.ok && decoded.document.payload).toEqual(payload);
        },
      ),
    );
  });

  test("may hold its payload in indefinite lengths, as genuine ones do", () => {
    const definite = withField("nonce", null);
    const indefinite = concatBytes(new Uint8Array([0xbf]), definite.subarray(1), new Uint8Array([0xff]));
    const decoded = decodeNitroDocument(sign1(indefinite));
    expect(decoded.ok && decoded.document.payload).toEqual({ ...PAYLOAD, nonce: null });
  });

  test("may hold fields that are not known, and lack those that are optional", () => {
    expect(checkOf(sign1(encode(new Map([...pairs(), ["more", 1]]))))).toBe("ok");
    for (const key of ["public_key", "user_data", "nonce"]) expect(checkOf(sign1(withoutField(key))), key).toBe("ok");
  });
});

describe("is malformed", () => {
  test.each<[string, () => Uint8Array]>([
    ["nothing", () => new Uint8Array(0)],
    ["text", () => utf8("not CBOR at all")],
    ["base64 of a document", () => utf8(btoa(String.fromCharCode(...document)))],
    ["a document with a byte behind it", () => concatBytes(document, new Uint8Array(1))],
    ["a document twice", () => concatBytes(document, document)],
    ["a document under tag 18", () => concatBytes(new Uint8Array([0xd2]), document)],
    ["an outer array of indefinite length", () => concatBytes(fromHex("9f"), document.subarray(1), fromHex("ff"))],
    ["an outer array whose count takes two bytes", () => concatBytes(fromHex("9804"), document.subarray(1))],
    ["a header whose length takes two bytes", () => concatBytes(fromHex("845804"), document.subarray(2))],
    [
      "an unprotected header with an entry",
      () => encode([ES384, new Map([[4, 1]]), withField("nonce", null), SIGNATURE]),
    ],
    ["an unprotected header that is no map", () => encode([ES384, null, withField("nonce", null), SIGNATURE])],
    ["an array of three", () => encode([ES384, new Map(), withField("nonce", null)])],
    ["an array of five", () => encode([ES384, new Map(), withField("nonce", null), SIGNATURE, null])],
    ["a detached payload", () => encode([ES384, new Map(), null, SIGNATURE])],
    ["a payload that is text", () => encode([ES384, new Map(), "payload", SIGNATURE])],
    ["a signature of 95 bytes", () => sign1(withField("nonce", null), ES384, new Uint8Array(95))],
    ["a signature of 97 bytes", () => sign1(withField("nonce", null), ES384, new Uint8Array(97))],
    ["no signature bytes", () => sign1(withField("nonce", null), ES384, new Uint8Array(0))],
    ["an empty payload", () => sign1(new Uint8Array(0))],
    ["a payload with a byte behind it", () => sign1(concatBytes(withField("nonce", null), new Uint8Array(1)))],
    ["a payload that is an array", () => sign1(encode([1, 2]))],
    [
      "a key named twice",
      () => {
        const payload = withField("nonce", null);
        const again = encode(new Map([["nonce", new Uint8Array(20)]])).subarray(1);
        return sign1(concatBytes(new Uint8Array([0xaa]), payload.subarray(1), again));
      },
    ],
    ["text that is not UTF-8 as a key", () => sign1(concatBytes(fromHex("a161ff"), fromHex("00")))],
  ])("%s", (_name, bytes) => {
    expect(checkOf(bytes())).toBe("malformed");
  });

  test.each<[string, unknown]>([
    ["module_id", ""],
    ["module_id", new Uint8Array(4)],
    ["module_id", "x".repeat(257)],
    ["digest", "SHA256"],
    ["digest", "sha384"],
    ["timestamp", 0],
    ["timestamp", -1],
    ["timestamp", 1.5],
    ["timestamp", "1793448000123"],
    ["timestamp", 2 ** 60],
    ["pcrs", new Map()],
    ["pcrs", []],
    ["pcrs", new Map([[0, new Uint8Array(47)]])],
    ["pcrs", new Map([[0, new Uint8Array(49)]])],
    ["pcrs", new Map([[0, new Uint8Array(32)]])],
    ["pcrs", new Map([[32, new Uint8Array(48)]])],
    ["pcrs", new Map([["0", new Uint8Array(48)]])],
    ["pcrs", new Map([[-1, new Uint8Array(48)]])],
    ["certificate", new Uint8Array(0)],
    ["certificate", new Uint8Array(4097)],
    ["certificate", null],
    ["cabundle", []],
    ["cabundle", [new Uint8Array(0)]],
    ["cabundle", ["root"]],
    ["cabundle", Array.from({ length: 9 }, () => new Uint8Array(9))],
    ["cabundle", new Uint8Array(500)],
    ["public_key", "key"],
    ["user_data", 1],
    ["user_data", new Uint8Array(4097)],
    ["nonce", []],
  ])("a %s of %j", (key, value) => {
    expect(checkOf(sign1(withField(key, value)))).toBe("malformed");
  });

  test.each(["module_id", "digest", "timestamp", "pcrs", "certificate", "cabundle"])("a payload without %s", (key) => {
    expect(checkOf(sign1(withoutField(key)))).toBe("malformed");
  });

  test("a document cut off anywhere", () => {
    for (let length = 0; length < document.length; length += 1) {
      expect(checkOf(document.subarray(0, length)), `at ${length}`).toBe("malformed");
    }
  });
});

test.each<[string, string]>([
  ["ES256", "a10126"],
  ["ES512", "a1013823"],
  ["EdDSA", "a10127"],
  ["none at all", "a0"],
  ["ES384 beside another parameter", "a201382204f6"],
  ["ES384 spelled in two bytes", "a101390022"],
  ["ES384 in a map of indefinite length", "bf013822ff"],
  ["ES384 and a byte behind it", "a101382200"],
  ["no map", "3822"],
  ["nothing", ""],
])("a protected header that names %s is another algorithm", (_name, header) => {
  expect(checkOf(sign1(withField("nonce", null), fromHex(header)))).toBe("algorithm");
});

describe("hostile input is refused, whatever it is", () => {
  const nested = (length: number, byte: number): Uint8Array => new Uint8Array(length).fill(byte);

  test.each<[string, () => Uint8Array]>([
    ["ten million zeros", () => nested(10_000_000, 0)],
    ["ten million open arrays", () => nested(10_000_000, 0x81)],
    ["arrays nested as deep as a document is long", () => nested(32_768, 0x81)],
    ["arrays of indefinite length nested that deep", () => nested(32_768, 0x9f)],
    ["maps nested that deep", () => nested(32_768, 0xa1)],
    ["tags nested that deep", () => nested(32_768, 0xd2)],
    ["a payload nested that deep", () => sign1(nested(32_000, 0x81))],
    ["an array that claims four billion items", () => fromHex("9affffffff00")],
    ["a byte string that claims exabytes", () => fromHex("845b7fffffffffffffff00")],
    ["a map that claims four billion entries", () => sign1(fromHex("baffffffff6161"))],
    [
      "a payload that claims to be longer than it is",
      () => concatBytes(fromHex("8444a1013822a0597fff"), nested(100, 1)),
    ],
  ])("%s", (_name, bytes) => {
    expect(checkOf(bytes())).toBe("malformed");
  });

  test("random bytes, and documents with random bytes in them", () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 1, maxLength: 300 }), fc.nat(), (noise, where) => {
        expect(checkOf(noise)).not.toBe("ok");
        const at = where % document.length;
        const spliced = concatBytes(document.subarray(0, at), noise, document.subarray(at));
        expect(["malformed", "algorithm"]).toContain(checkOf(spliced));
      }),
      { numRuns: 500 },
    );
  });
});
