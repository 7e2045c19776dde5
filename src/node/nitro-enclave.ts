import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { Agent, request } from "undici";
import { Proof402Error } from "../errors.ts";
import { encodeUserData, extendedPcr, PCR } from "../evidence/attestation.ts";
import { equalBytes, fromBase64, sha256, sha384, toBase64, toHex, type Bytes } from "../evidence/bytes.ts";
import { decodeNitroDocument, type NitroPayload } from "../evidence/nitro.ts";
import type { Enclave } from "./enclave.ts";
import { createKey } from "./signer.ts";

/** Where a node in an AWS Nitro enclave gets its documents: from nitriding, from a helper, or from both. */
export type NitroOptions = {
  /** nitriding's two servers. It serves the attestation to buyers itself, and ends their TLS. */
  nitriding?: { internalUrl: string; externalUrl: string } | undefined;
  /**
   * A program that asks the Nitro Security Module, with its first arguments. `attest --nonce HEX --user-data HEX` prints a
   * document as base64, `extend --pcr N --data HEX` extends a PCR. Without it no measurement covers the models.
   */
  helper?: readonly string[] | undefined;
  /** The certificate that the node itself serves TLS with, DER; without nitriding only. */
  tlsCertificate?: Uint8Array | undefined;
};

/** nitriding takes nonces of this length only. */
const NONCE_BYTES = 20;
const TIMEOUT_MS = 15_000;
const MAX_BYTES = 64_000;

/**
 * The enclave that this process runs in, on AWS Nitro hardware. Makes the signing key, which never leaves the process, and
 * binds it to the documents. Throws Proof402Error `enclave_unusable`.
 *
 * @example
 * ```ts
 * import { createNitroEnclave } from "proof402/node";
 *
 * const enclave = await createNitroEnclave({
 *   nitriding: { internalUrl: "http://127.0.0.1:8080", externalUrl: "https://127.0.0.1:443" },
 *   helper: ["/bin/nsm-helper"],
 * });
 * ```
 */
export async function createNitroEnclave({ nitriding, helper, tlsCertificate }: NitroOptions): Promise<Enclave> {
  const key = await createKey();
  const userData = encodeUserData({ tlsCertificate: tlsCertificate ?? null, signingKeySpki: key.publicKey });
  const ask = (...args: string[]): Promise<string> => runHelper(helper ?? [], args);
  let measured: Record<"0" | "1" | "2", string> | null = null;

  const attest = async (nonce: Uint8Array): Promise<Bytes> => {
    const text =
      nitriding === undefined
        ? await ask("attest", "--nonce", toHex(nonce), "--user-data", toHex(userData))
        : await askNitriding("GET", `${nitriding.externalUrl}/enclave/attestation?nonce=${toHex(nonce)}`);
    return fromBase64(text.trim());
  };
  if (nitriding !== undefined)
    await askNitriding("POST", `${nitriding.internalUrl}/enclave/hash`, toBase64(sha256(key.publicKey)));

  return {
    ...key,
    simulated: false,
    measuresModels: helper !== undefined,
    async measureModels(manifest) {
      const digest = sha384(manifest);
      if (helper !== undefined) await ask("extend", "--pcr", String(PCR.extended), "--data", toHex(digest));
      const nonce = crypto.getRandomValues(new Uint8Array(NONCE_BYTES));
      const payload = readDocument(await attest(nonce).catch(unreadable));
      const wrong = wrongWith(payload, { nonce, spki: key.publicKey, digest: helper === undefined ? null : digest });
      if (wrong !== null) throw unusable(wrong);
      const pcr = (index: number): string => toHex(payload.pcrs.get(index) ?? new Uint8Array(0));
      measured = { "0": pcr(0), "1": pcr(1), "2": pcr(2) };
    },
    measurements() {
      if (measured === null) throw new Error("the enclave was not asked yet");
      return measured;
    },
    attest,
    async ready() {
      // Without -wait-for-app nitriding has no such address, and waits for nothing.
      if (nitriding !== undefined) await askNitriding("GET", `${nitriding.internalUrl}/enclave/ready`).catch(() => "");
    },
  };
}

/** What keeps buyers from believing a document of this enclave, or null. */
function wrongWith(
  payload: NitroPayload,
  { nonce, spki, digest }: { nonce: Uint8Array; spki: Uint8Array; digest: Uint8Array | null },
): string | null {
  const bound = payload.userData?.subarray(-32);
  if (payload.nonce === null || !equalBytes(payload.nonce, nonce)) return "does not carry the nonce";
  if (bound === undefined || !equalBytes(bound, sha256(spki))) return "does not bind the key that signs the answers";
  if ((payload.pcrs.get(PCR.code) ?? new Uint8Array(0)).every((byte) => byte === 0))
    return "measures nothing: the enclave was started in debug mode";
  const extended = payload.pcrs.get(PCR.extended);
  if (digest !== null && (extended === undefined || !equalBytes(extended, extendedPcr(digest))))
    return `does not measure the models in PCR${PCR.extended}`;
  return null;
}

function readDocument(document: Uint8Array): NitroPayload {
  const decoded = decodeNitroDocument(document);
  if (!decoded.ok) throw unusable("is no Nitro document");
  return decoded.document.payload;
}

async function runHelper([program = "", ...first]: readonly string[], args: string[]): Promise<string> {
  const options = { timeout: TIMEOUT_MS, maxBuffer: MAX_BYTES, env: {} };
  const { stdout } = await promisify(execFile)(program, [...first, ...args], options).catch((cause: unknown) => {
    throw unusable(`could not be had: ${program} ${args[0]} failed`, cause);
  });
  return stdout;
}

/** Both servers are on this machine. Documents are signed, and nitriding's certificate is its own. */
const local = new Agent({ connect: { rejectUnauthorized: false } });

async function askNitriding(method: "GET" | "POST", url: string, body?: string): Promise<string> {
  const { statusCode, body: answer } = await request(url, {
    method,
    dispatcher: local,
    headersTimeout: TIMEOUT_MS,
    bodyTimeout: TIMEOUT_MS,
    ...(body === undefined ? {} : { body }),
  }).catch(unreachable(url));
  const text = await answer.text().catch(unreachable(url));
  if (statusCode !== 200)
    throw unusable(`could not be had: nitriding answered ${statusCode} to ${new URL(url).pathname}`);
  return text;
}

const unreachable =
  (url: string) =>
  (cause: unknown): never => {
    throw unusable(`could not be had: nitriding is not reached at ${new URL(url).origin}`, cause);
  };

const unreadable = (error: unknown): never => {
  throw Proof402Error.isInstance(error) ? error : unusable("is not base64", error);
};

const unusable = (what: string, cause?: unknown): Proof402Error =>
  new Proof402Error("enclave_unusable", `The enclave's attestation document ${what}.`, {
    next: 'Correct "enclave" in the configuration, or how the enclave is started.',
    cause,
  });
