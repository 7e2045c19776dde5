import { beforeAll, describe, expect, test } from "vitest";
import { concatBytes } from "../../src/evidence/bytes.ts";
import { decodeNitroDocument, type NitroPayload } from "../../src/evidence/nitro.ts";
import { AWS_NITRO_ROOT, verifyNitroDocument, type NitroResult } from "../../src/verify/tee/nitro.ts";
import {
  makeChain,
  MEASURED,
  nameConstraints,
  payloadOf,
  privateExtension,
  signDocument,
  signEs384,
  USAGE,
  type Chain,
  type ChainChanges,
} from "../support/nitro-document.ts";

const HOUR = 3_600_000;

/** Verifies a document of a chain whose root is accepted. */
async function verify(
  chain: Chain,
  options: { payload?: Partial<NitroPayload>; document?: Uint8Array; at?: Date; roots?: string[] } = {},
): Promise<NitroResult> {
  const document = options.document ?? (await signDocument(chain, payloadOf(chain, options.payload)));
  return verifyNitroDocument({
    document,
    evaluateAt: options.at ?? chain.at,
    simulatedRoots: options.roots ?? [chain.rootSha256],
  });
}
const checkOf = (result: NitroResult): string => (result.ok ? "ok" : result.check);

let chain: Chain;
let other: Chain;
beforeAll(async () => {
  [chain, other] = await Promise.all([makeChain(), makeChain()]);
});

describe("the trust anchor", () => {
  test("is a root that the policy names, and everything under it is simulated", async () => {
    expect(await verify(chain)).toMatchObject({ ok: true, simulated: true });
  });

  test.each<[string, () => string[]]>([
    ["no root", () => []],
    ["AWS's root alone", () => [AWS_NITRO_ROOT]],
    ["another root", () => [other.rootSha256]],
    ["the root's name in capitals", () => [chain.rootSha256.toUpperCase()]],
  ])("is missing where %s is accepted", async (_name, roots) => {
    expect(checkOf(await verify(chain, { roots: roots() }))).toBe("trust-anchor");
  });

  test("is not lent to the chain of another root", async () => {
    const [accepted = new Uint8Array(0)] = other.ders;
    const [, ...below] = payloadOf(chain).cabundle;
    const options = { roots: [other.rootSha256] };
    expect(checkOf(await verify(chain, { ...options, payload: { cabundle: [accepted, ...below] } }))).toBe(
      "certificate-chain",
    );
    expect(
      checkOf(await verify(chain, { ...options, payload: { cabundle: [accepted, ...payloadOf(chain).cabundle] } })),
    ).toBe("certificate-chain");
    // Accepted somewhere in the bundle is not accepted as its root.
    expect(
      checkOf(await verify(chain, { ...options, payload: { cabundle: [...payloadOf(chain).cabundle, accepted] } })),
    ).toBe("trust-anchor");
  });
});

describe("a chain is refused", () => {
  const cases: [string, ChainChanges][] = [
    ["whose intermediate is no authority", { 1: { isAuthority: false } }],
    ["whose intermediate has no basic constraints", { 1: { withoutBasicConstraints: true } }],
    ["whose intermediate may not sign certificates", { 2: { usage: USAGE.digitalSignature } }],
    ["whose root may not sign certificates", { 0: { usage: USAGE.cRLSign } }],
    ["whose root allows no intermediate", { 0: { pathLength: 0 } }],
    ["whose root allows fewer intermediates than there are", { 0: { pathLength: 1 } }],
    ["whose intermediate allows none below it", { 1: { pathLength: 0 } }],
    ["whose leaf is an authority", { 3: { isAuthority: true } }],
    ["whose leaf may sign certificates only", { 3: { usage: USAGE.keyCertSign } }],
    ["whose leaf may not sign at all", { 3: { usage: USAGE.keyAgreement } }],
    ["whose leaf names another issuer", { 3: { issuerName: "CN=test region" } }],
    ["whose intermediate names itself as issuer", { 2: { issuerName: "CN=test zone" } }],
    ["whose leaf was signed by an issuer further up", { 3: { signedBy: 1 } }],
    ["whose leaf signed itself", { 3: { signedBy: 3 } }],
    ["whose intermediate was signed by the leaf", { 2: { signedBy: 3 } }],
    ["whose root was not signed by itself", { 0: { signedBy: 1 } }],
    ["with an intermediate on P-256", { 2: { curve: "P-256" } }],
    ["with a signature over SHA-256", { 2: { hash: "SHA-256" } }],
    ["with a critical extension that nobody judged", { 2: { extensions: [privateExtension(true)] } }],
    ["with such an extension in its leaf", { 3: { extensions: [privateExtension(true)] } }],
    ["with an extension named twice", { 2: { extensions: [privateExtension(false), privateExtension(false)] } }],
    ["with name constraints, which are not judged", { 1: { extensions: [nameConstraints()] } }],
    ["with bytes behind a certificate", { 2: { der: (der) => concatBytes(der, new Uint8Array(1)) } }],
    ["with bytes behind its leaf", { 3: { der: (der) => concatBytes(der, new Uint8Array(1)) } }],
    ["with a certificate cut off", { 2: { der: (der) => der.subarray(0, -1) } }],
    ["with a certificate that is none", { 2: { der: () => new Uint8Array(300).fill(0x30) } }],
  ];

  test.each(cases)("%s", async (_name, changes) => {
    expect(checkOf(await verify(await makeChain(changes)))).toBe("certificate-chain");
  });

  test("with a certificate left out, doubled or out of order", async () => {
    const [root, region, zone] = payloadOf(chain).cabundle as [Uint8Array, Uint8Array, Uint8Array];
    for (const cabundle of [[root], [root, zone], [root, region], [root, zone, region], [root, region, region, zone]]) {
      expect(checkOf(await verify(chain, { payload: { cabundle } }))).toBe("certificate-chain");
    }
    // What is no certificate is not passed over.
    const none = new Uint8Array(300).fill(0x30);
    expect(checkOf(await verify(chain, { payload: { cabundle: [root, none, region, zone] } }))).toBe(
      "certificate-chain",
    );
  });

  test("that is a root which signs documents itself", async () => {
    const [root = new Uint8Array(0)] = chain.ders;
    const document = await signDocument(chain, payloadOf(chain, { certificate: root, cabundle: [root] }), 0);
    expect(checkOf(await verify(chain, { document }))).toBe("certificate-chain");
  });

  test("whose intermediate poses as the leaf", async () => {
    const [root, region, zone] = chain.ders as [Uint8Array, Uint8Array, Uint8Array];
    const document = await signDocument(chain, payloadOf(chain, { certificate: zone, cabundle: [root, region] }), 2);
    expect(checkOf(await verify(chain, { document }))).toBe("certificate-chain");
  });

  test("that goes on below its leaf", async () => {
    const below = await makeChain({ 3: { issuerName: "CN=test leaf" } });
    const document = await signDocument(
      below,
      payloadOf(below, { cabundle: chain.ders, certificate: below.ders[3] ?? new Uint8Array(0) }),
    );
    expect(checkOf(await verify(chain, { document }))).toBe("certificate-chain");
  });
});

test.each<[string, ChainChanges]>([
  ["an extension that is not critical", { 2: { extensions: [privateExtension(false)] } }],
  ["exactly as many intermediates as its root allows", { 0: { pathLength: 2 } }],
  ["a leaf without basic constraints", { 3: { withoutBasicConstraints: true } }],
  ["no path lengths at all", { 1: { pathLength: undefined }, 2: { pathLength: undefined } }],
])("a chain with %s is accepted", async (_name, changes) => {
  expect(checkOf(await verify(await makeChain(changes)))).toBe("ok");
});

describe("the time of evaluation", () => {
  test("must lie in the life of every certificate, both ends included", async () => {
    // Certificates know whole seconds.
    const now = Math.floor(Date.now() / 1000) * 1000;
    const [begins, ends] = [now - HOUR / 2, now + HOUR / 2];
    const bounded = await makeChain({ 1: { notBefore: new Date(begins) }, 2: { notAfter: new Date(ends) } });
    const document = await signDocument(bounded, payloadOf(bounded));
    const at = async (time: number): Promise<string> =>
      checkOf(await verify(bounded, { document, at: new Date(time) }));
    expect(await at(begins - 1)).toBe("certificate-validity");
    expect(await at(begins)).toBe("ok");
    expect(await at(ends)).toBe("ok");
    expect(await at(ends + 1)).toBe("certificate-validity");
  });

  test.each<[string, ChainChanges]>([
    ["root", { 0: { notAfter: new Date(Date.now() - 60_000) } }],
    ["intermediate", { 2: { notAfter: new Date(Date.now() - 60_000) } }],
    ["leaf", { 3: { notAfter: new Date(Date.now() - 60_000) } }],
    ["leaf of tomorrow", { 3: { notBefore: new Date(Date.now() + 24 * HOUR) } }],
  ])("finds an expired or early %s", async (_name, changes) => {
    expect(checkOf(await verify(await makeChain(changes)))).toBe("certificate-validity");
  });

  test.each([Number.NaN, 8.64e15, -8.64e15])("of %d is never within", async (time) => {
    expect(checkOf(await verify(chain, { at: new Date(time) }))).toBe("certificate-validity");
  });
});

describe("the document's signature", () => {
  test.each([0, 1, 2])("is not that of certificate %d of the chain", async (signedBy) => {
    const document = await signDocument(chain, payloadOf(chain), signedBy);
    expect(checkOf(await verify(chain, { document }))).toBe("signature");
  });

  test("of another document does not fit", async () => {
    const [mine, theirs] = await Promise.all([
      signDocument(chain, payloadOf(chain)),
      signDocument(chain, payloadOf(chain, { moduleId: "i-tesu" })),
    ]);
    const mixed = concatBytes(mine.subarray(0, -96), theirs.subarray(-96));
    expect(checkOf(await verify(chain, { document: mine }))).toBe("ok");
    expect(checkOf(await verify(chain, { document: mixed }))).toBe("signature");
  });

  test("over the payload alone, without its context, does not count", async () => {
    const document = await signDocument(chain, payloadOf(chain));
    const decoded = decodeNitroDocument(document);
    if (!decoded.ok) throw new Error(decoded.message);
    // Sig_structure: 12 bytes of context, 5 of header, an empty string, then the payload with its length.
    const bare = await signEs384(chain, decoded.document.sigStructure.subarray(18));
    expect(checkOf(await verify(chain, { document: concatBytes(document.subarray(0, -96), bare) }))).toBe("signature");
  });

  test.each([
    ["zeros", new Uint8Array(96)],
    ["ones", new Uint8Array(96).fill(0xff)],
  ])("of all %s is none", async (_name, signature) => {
    const document = await signDocument(chain, payloadOf(chain));
    expect(checkOf(await verify(chain, { document: concatBytes(document.subarray(0, -96), signature) }))).toBe(
      "signature",
    );
  });
});

describe("measurements", () => {
  const pcrs = (changed: Record<number, Uint8Array | null>): ReadonlyMap<number, Uint8Array> => {
    const map = new Map(MEASURED);
    for (const [index, value] of Object.entries(changed)) {
      if (value === null) map.delete(Number(index));
      else map.set(Number(index), value);
    }
    return map;
  };

  test.each([0, 1, 2])("with a zero among others in PCR%d measure something", async (index) => {
    const digest = new Uint8Array(48).fill(7);
    digest[index * 20] = 0;
    expect(checkOf(await verify(chain, { payload: { pcrs: pcrs({ [index]: digest }) } }))).toBe("ok");
  });

  test.each([0, 1, 2])("of zeros in PCR%d are those of a debug enclave", async (index) => {
    expect(checkOf(await verify(chain, { payload: { pcrs: pcrs({ [index]: new Uint8Array(48) }) } }))).toBe("debug");
  });

  test.each([0, 1, 2])("of one repeated byte in PCR%d measure nothing", async (index) => {
    const payload = { pcrs: pcrs({ [index]: new Uint8Array(48).fill(0xab) }) };
    expect(checkOf(await verify(chain, { payload }))).toBe("measurements");
  });

  test.each([0, 1, 2])("without PCR%d are incomplete", async (index) => {
    expect(checkOf(await verify(chain, { payload: { pcrs: pcrs({ [index]: null }) } }))).toBe("measurements");
  });

  test("of zeros in other registers are usual", async () => {
    expect(checkOf(await verify(chain, { payload: { pcrs: pcrs({ 3: new Uint8Array(48) }) } }))).toBe("ok");
  });
});

test("what is no document at all is refused as malformed", async () => {
  for (const document of [new Uint8Array(0), new Uint8Array(10_000_000), new Uint8Array(4500).fill(0x84)]) {
    expect(checkOf(await verify(chain, { document }))).toBe("malformed");
  }
});
