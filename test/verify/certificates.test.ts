import { beforeAll, describe, expect, test } from "vitest";
import { concatBytes, fromHex, toHex } from "../../src/evidence/bytes.ts";
import { isIssuedBy, maySignDocuments, parseCertificate, verifyEs384 } from "../../src/verify/tee/certificates.ts";
import { makeChain, type CertificateChange, type Chain } from "../support/nitro-document.ts";

const LEAF = 3;
let chain: Chain;
beforeAll(async () => {
  chain = await makeChain();
});

/** A DER value of less than 64 KiB. */
function der(tag: number, content: Uint8Array): Uint8Array {
  const { length } = content;
  const size = length < 0x80 ? [length] : length < 0x100 ? [0x81, length] : [0x82, length >> 8, length & 0xff];
  return concatBytes(new Uint8Array([tag, ...size]), content);
}
/** The DER values that follow each other in some bytes. */
function valuesIn(bytes: Uint8Array): Uint8Array[] {
  const values: Uint8Array[] = [];
  for (let at = 0; at < bytes.length;) {
    const first = bytes[at + 1]!;
    const more = first < 0x80 ? 0 : first & 0x7f;
    const length =
      more === 0 ? first : bytes.subarray(at + 2, at + 2 + more).reduce((sum, byte) => sum * 256 + byte, 0);
    const end = at + 2 + more + length;
    values.push(bytes.subarray(at, end));
    at = end;
  }
  return values;
}
const contentOf = (value: Uint8Array): Uint8Array => value.subarray(value[1]! < 0x80 ? 2 : 2 + (value[1]! & 0x7f));

/** The leaf with one of its three parts in another form: what is signed, the algorithm, the signature. */
function leafWith(part: 0 | 1 | 2, change: (value: Uint8Array) => Uint8Array): Uint8Array {
  const parts = valuesIn(contentOf(chain.ders[LEAF]!));
  parts[part] = change(parts[part]!);
  return der(0x30, concatBytes(...parts));
}
const withSignature = (signature: Uint8Array): Uint8Array =>
  leafWith(2, () => der(0x03, concatBytes(new Uint8Array(1), signature)));
/** The only change of a certificate, the leaf's. */
const madeWith = async (change: CertificateChange) =>
  parseCertificate((await makeChain({ [LEAF]: change })).ders[LEAF]!);

describe("a certificate", () => {
  test("is read with what a chain check needs", () => {
    const [root, leaf] = [parseCertificate(chain.ders[0]!)!, parseCertificate(chain.ders[LEAF]!)!];
    expect(root).toMatchObject({ isAuthority: true, pathLength: null });
    expect(parseCertificate(chain.ders[1]!)).toMatchObject({ isAuthority: true, pathLength: 1 });
    expect(leaf).toMatchObject({ isAuthority: false, pathLength: null });
    expect([root, leaf].map(maySignDocuments)).toEqual([false, true]);
  });

  test("without extensions is no authority, and may sign nothing", async () => {
    const bare = await madeWith({ withoutBasicConstraints: true, withoutKeyUsage: true });
    expect(bare).toMatchObject({ isAuthority: false, pathLength: null, usage: 0 });
    expect(maySignDocuments(bare!)).toBe(false);
    expect(await isIssuedBy(bare!, { ...bare!, subject: bare!.issuer }, 0)).toBe(false);
  });

  test("may have no list of extensions", () => {
    const cut = leafWith(0, (value) => der(0x30, concatBytes(...valuesIn(contentOf(value)).slice(0, -1))));
    expect(parseCertificate(cut)).toMatchObject({ isAuthority: false, pathLength: null, usage: 0 });
  });

  test.each<[string, CertificateChange]>([
    ["a key of another curve", { curve: "P-256" }],
    ["a signature over another hash", { hash: "SHA-256" }],
  ])("with %s is none of a Nitro chain", async (_name, change) => {
    expect(await madeWith(change)).toBe(null);
  });

  test("has a key that is named as one of P-384, whatever its point", () => {
    const naming = (curve: string): Uint8Array =>
      leafWith(0, (value) => fromHex(toHex(value).replace("06052b81040022", curve)));
    expect(parseCertificate(naming("06052b81040022"))).not.toBe(null);
    // secp521r1 and secp256k1.
    for (const curve of ["06052b81040023", "06052b8104000a"]) expect(parseCertificate(naming(curve))).toBe(null);
  });

  test("has its key as a whole point, and not as half of one or as none", () => {
    const withPoint = (change: (point: Uint8Array) => Uint8Array): Uint8Array =>
      leafWith(0, (value) => {
        const fields = valuesIn(contentOf(value));
        const at = fields.findIndex((field) => toHex(field).includes("06052b81040022"));
        const [algorithm, key] = valuesIn(contentOf(fields[at]!)) as [Uint8Array, Uint8Array];
        const changed = concatBytes(new Uint8Array(1), change(contentOf(key).subarray(1)));
        fields[at] = der(0x30, concatBytes(algorithm, der(0x03, changed)));
        return der(0x30, concatBytes(...fields));
      });
    expect(withPoint((point) => point)).toEqual(chain.ders[LEAF]);
    for (const change of [
      (point: Uint8Array) => concatBytes(Uint8Array.of(2 + (point[96]! & 1)), point.subarray(1, 49)),
      (point: Uint8Array) => concatBytes(Uint8Array.of(6 + (point[96]! & 1)), point.subarray(1)),
      (point: Uint8Array) => concatBytes(point, new Uint8Array(1)),
      () => new Uint8Array(1),
      () => new Uint8Array(0),
    ])
      expect(parseCertificate(withPoint(change))).toBe(null);
  });

  test("that names two signature algorithms is none", () => {
    const other = "06082a8648ce3d040302";
    expect(parseCertificate(leafWith(1, (value) => value))).not.toBe(null);
    expect(parseCertificate(leafWith(1, () => der(0x30, fromHex(other))))).toBe(null);
    const within = leafWith(0, (value) => fromHex(toHex(value).replace("06082a8648ce3d040303", other)));
    expect(parseCertificate(within)).toBe(null);
  });
});

describe("a signature of a certificate", () => {
  const integer = (...bytes: number[]): Uint8Array => der(0x02, new Uint8Array(bytes));
  const long = (first: number, length: number): number[] => [first, ...Array.from({ length: length - 1 }, () => 0x11)];
  const pair = (r: Uint8Array, s: Uint8Array, ...more: Uint8Array[]): Uint8Array =>
    der(0x30, concatBytes(r, s, ...more));
  const readFrom = (signature: Uint8Array): string | null => {
    const parsed = parseCertificate(withSignature(signature));
    return parsed === null ? null : toHex(parsed.signature);
  };
  const one = integer(1);

  test.each<[string, number[], string]>([
    ["one byte", [0x7f], "7f"],
    ["zero", [0], "00"],
    ["one byte that would be negative", [0, 0x80], "80"],
    ["48 bytes", long(0x7f, 48), `7f${"11".repeat(47)}`],
    ["48 bytes that would be negative", [0, ...long(0x80, 48)], `80${"11".repeat(47)}`],
  ])("is two numbers of 48 bytes: %s", (_name, bytes, hex) => {
    const padded = hex.padStart(96, "0");
    expect(readFrom(pair(integer(...bytes), one))).toBe(`${padded}${"1".padStart(96, "0")}`);
    expect(readFrom(pair(one, integer(...bytes)))).toBe(`${"1".padStart(96, "0")}${padded}`);
  });

  test.each<[string, () => Uint8Array]>([
    ["nothing", () => new Uint8Array(0)],
    ["a set of numbers", () => der(0x31, concatBytes(one, one))],
    ["a length that is not its own", () => concatBytes(fromHex("3007"), one, one)],
    ["one number", () => der(0x30, one)],
    ["three numbers", () => pair(one, one, one)],
    ["a number of another type", () => pair(der(0x03, new Uint8Array([1])), one)],
    ["a number of no bytes", () => pair(integer(), one)],
    ["a last number of no bytes", () => pair(one, integer())],
    ["a number that ends too early", () => der(0x30, concatBytes(one, fromHex("020211")))],
    ["a negative number", () => pair(integer(0x80), one)],
    ["another negative number", () => pair(one, integer(0xff))],
    ["a zero before a number that needs none", () => pair(integer(0, 0x7f), one)],
    ["a zero before zero", () => pair(integer(0, 0), one)],
    ["49 bytes without a zero before them", () => pair(integer(...long(0x7f, 49)), one)],
    ["a last number of 49 bytes without a zero", () => pair(one, integer(...long(0x7f, 49)))],
    ["50 bytes", () => pair(integer(0, ...long(0x80, 49)), one)],
  ])("is not %s", (_name, signature) => {
    expect(readFrom(signature())).toBe(null);
  });

  test("is checked with a key that can be read", async () => {
    const [issuer, subject] = [parseCertificate(chain.ders[2]!)!, parseCertificate(chain.ders[LEAF]!)!];
    expect(await verifyEs384(issuer.point, subject.signature, subject.tbs)).toBe(true);
    expect(await verifyEs384(subject.point, subject.signature, subject.tbs)).toBe(false);
    expect(await verifyEs384(new Uint8Array(3), subject.signature, subject.tbs)).toBe(false);
    const off = new Uint8Array(issuer.point);
    off[96]! ^= 1;
    expect(await verifyEs384(off, subject.signature, subject.tbs)).toBe(false);
  });
});
