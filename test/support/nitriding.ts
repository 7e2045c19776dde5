import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { serveLocally } from "../../src/devnet/index.ts";
import { extendedPcr } from "../../src/evidence/attestation.ts";
import { concatBytes, fromBase64, fromHex, sha384, toBase64, toHex, utf8 } from "../../src/evidence/bytes.ts";
import { encodeNitroDocument } from "../../src/evidence/nitro.ts";
import { createSimulatedRoot } from "../../src/node/index.ts";

/** What an enclave has around a node: nitriding's two servers, and a helper that asks the security module. */
export type StandIn = {
  internalUrl: string;
  /** Where buyers ask: the attestation, and the node behind it. */
  externalUrl: string;
  helper: string[];
  rootSha256: string;
  /** As `nitro-cli build-enclave` prints them. */
  built: { Measurements: Record<"HashAlgorithm" | "PCR0" | "PCR1" | "PCR2", string> };
  /** Where the node listens. */
  pass(origin: string): void;
  /** Has the documents say something else. */
  lie(pcrs: [number, Uint8Array][]): void;
  isReady(): boolean;
};

const PREFIX = new Uint8Array([0x12, 0x20]);
const IMAGE = [0, 1, 2].map((index): [number, Uint8Array] => [index, sha384(utf8(`image ${index}`))]);

/**
 * Stands in for nitriding-daemon (its doc/http-api.md) and the Nitro Security Module, without hardware: the same requests and
 * answers, and documents that are genuinely signed, under a root made on this machine.
 */
export async function standInForNitro(
  directory: string,
  started: (stop: () => Promise<void>) => void,
): Promise<StandIn> {
  const root = await createSimulatedRoot();
  const leaf = await root.issueLeaf(new Date());
  const pcrs = new Map<number, Uint8Array>(
    Array.from({ length: 32 }, (_, index): [number, Uint8Array] => [index, new Uint8Array(48)]),
  );
  for (const [index, digest] of IMAGE) pcrs.set(index, digest);
  let applicationHash: Uint8Array = new Uint8Array(32);
  let application = "";
  let ready = 0;

  const attest = (nonce: Uint8Array, userData: Uint8Array): Promise<Uint8Array> =>
    encodeNitroDocument({
      payload: {
        moduleId: "i-stand-in-enc0",
        digest: "SHA384",
        timestamp: Date.now(),
        pcrs,
        certificate: leaf.certificate,
        cabundle: leaf.cabundle,
        publicKey: utf8("dummy"),
        userData,
        nonce,
      },
      sign: async (bytes) =>
        new Uint8Array(
          await crypto.subtle.sign({ name: "ECDSA", hash: "SHA-384" }, leaf.privateKey, new Uint8Array(bytes)),
        ),
    });
  const told = (text: string, status = 200): Response => new Response(text, { status });

  const internal = await serveLocally(async (request) => {
    const { pathname, searchParams } = new URL(request.url);
    const hex = (name: string): Uint8Array => fromHex(searchParams.get(name) ?? "");
    switch (`${request.method} ${pathname}`) {
      case "POST /enclave/hash": {
        const hash = fromBase64((await request.text()).trim());
        if (hash.length !== 32) return told("given hash is of invalid size", 400);
        applicationHash = hash;
        return told("");
      }
      case "GET /enclave/ready":
        ready += 1;
        return told("", ready === 1 ? 200 : 410);
      // The security module, for the helper.
      case "GET /nsm/attest":
        return told(toBase64(await attest(hex("nonce"), hex("user-data"))));
      case "GET /nsm/extend": {
        const index = Number(searchParams.get("pcr"));
        pcrs.set(index, extendedFrom(pcrs.get(index), hex("data")));
        return told("");
      }
      default:
        return told("not found", 404);
    }
  });
  started(internal.stop);

  const external = await serveLocally(async (request) => {
    const { pathname, search, searchParams } = new URL(request.url);
    if (pathname === "/enclave/attestation") {
      const nonce = searchParams.get("nonce") ?? "";
      if (!/^[0-9a-fA-F]{40}$/.test(nonce)) return told("nonce must be 40 hexadecimal digits", 400);
      // It ends no TLS here, so it names no certificate.
      const userData = concatBytes(PREFIX, new Uint8Array(32), PREFIX, applicationHash);
      return told(`${toBase64(await attest(fromHex(nonce), userData))}\n`);
    }
    const body = request.method === "POST" ? { body: await request.arrayBuffer() } : {};
    const { method, headers } = request;
    for (const name of ["host", "connection", "content-length"]) headers.delete(name);
    const answered = await fetch(`${application}${pathname}${search}`, { method, headers, ...body });
    const passed = new Headers(answered.headers);
    for (const name of ["content-length", "connection", "transfer-encoding"]) passed.delete(name);
    return new Response(await answered.arrayBuffer(), { status: answered.status, headers: passed });
  });
  started(external.stop);

  const helper = join(directory, "nsm-helper.mjs");
  await writeFile(
    helper,
    `const [, , task, ...rest] = process.argv;
const query = new URLSearchParams();
for (let at = 0; at < rest.length; at += 2) query.set(rest[at].slice(2), rest[at + 1]);
const answer = await fetch("${internal.origin}/nsm/" + task + "?" + query);
if (!answer.ok) process.exit(1);
process.stdout.write(await answer.text());
`,
  );
  const measured = (index: number): string => toHex(IMAGE[index]?.[1] ?? new Uint8Array(0));
  return {
    internalUrl: internal.origin,
    externalUrl: external.origin,
    helper: [process.execPath, helper],
    rootSha256: root.sha256,
    built: {
      Measurements: {
        HashAlgorithm: "Sha384 { ... }",
        PCR0: measured(0),
        PCR1: measured(1),
        PCR2: measured(2),
      },
    },
    pass: (origin) => void (application = origin),
    lie: (changes) => changes.forEach(([index, digest]) => pcrs.set(index, digest)),
    isReady: () => ready > 0,
  };
}

/** Extends as the hardware does: SHA-384 of the old value and the data. From zero it is what verifiers expect. */
const extendedFrom = (old: Uint8Array | undefined, data: Uint8Array): Uint8Array =>
  old === undefined || old.every((byte) => byte === 0) ? extendedPcr(data) : sha384(concatBytes(old, data));
