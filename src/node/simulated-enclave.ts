import { encodeUserData } from "../evidence/attestation.ts";
import { equalBytes, sha384, toHex, type Bytes } from "../evidence/bytes.ts";
import { encodeNitroDocument } from "../evidence/nitro.ts";
import type { SimulatedRoot } from "./simulated-root.ts";
import type { Enclave } from "./enclave.ts";
import { measureCode, measureRuntime } from "./measure.ts";
import { createKey } from "./signer.ts";

/** A leaf is replaced when less than this is left of its three hours. */
const RENEW_BEFORE_MS = 30 * 60_000;
const ZERO_PCRS = Array.from({ length: 13 }, (_, index): [number, Uint8Array] => [index + 3, new Uint8Array(48)]);

/**
 * An enclave without hardware: the same document format as AWS Nitro's, under a root made on this machine. Its module
 * id says `simulated`, and no policy accepts its root by default.
 *
 * @example
 * ```ts
 * import { createSimulatedEnclave, createSimulatedRoot } from "proof402/node";
 *
 * const root = await createSimulatedRoot();
 * const enclave = await createSimulatedEnclave({ root });
 * ```
 */
export async function createSimulatedEnclave(options: {
  root: SimulatedRoot;
  /** The certificate that the seller shows for its TLS, DER; the documents name none where this is left out. */
  tlsCertificate?: Uint8Array;
}): Promise<Enclave> {
  const key = await createKey();
  const userData = encodeUserData({ tlsCertificate: options.tlsCertificate ?? null, signingKeySpki: key.publicKey });
  const moduleId = `i-simulated-enc${toHex(crypto.getRandomValues(new Uint8Array(8)))}`;
  const code = await measureCode();
  const runtime = measureRuntime();
  let models: Bytes | null = null;
  let leaf = await options.root.issueLeaf(new Date());

  const measured = (): Bytes => {
    if (models === null) throw new Error("the models are not measured yet");
    return models;
  };

  return {
    ...key,
    simulated: true,
    measuresModels: true,
    measureModels(manifest) {
      const digest = sha384(manifest);
      if (models !== null && !equalBytes(models, digest)) throw new Error("the models were measured already");
      models = digest;
    },
    measurements: () => ({ "0": toHex(code), "1": toHex(runtime), "2": toHex(measured()) }),
    async attest(nonce) {
      const now = new Date();
      if (leaf.notAfter.getTime() - now.getTime() < RENEW_BEFORE_MS) leaf = await options.root.issueLeaf(now);
      const { certificate, cabundle, privateKey } = leaf;
      return encodeNitroDocument({
        payload: {
          moduleId,
          digest: "SHA384",
          timestamp: now.getTime(),
          pcrs: new Map([[0, code], [1, runtime], [2, measured()], ...ZERO_PCRS]),
          certificate,
          cabundle,
          publicKey: null,
          userData,
          nonce,
        },
        sign: async (sigStructure) =>
          new Uint8Array(await crypto.subtle.sign({ name: "ECDSA", hash: "SHA-384" }, privateKey, sigStructure)),
      });
    },
  };
}
