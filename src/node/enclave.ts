import type { Signer } from "./signer.ts";

/**
 * What a node asks of the enclave it runs in. A real one keeps the key inside and gets its documents from the Nitro
 * Security Module; the simulated one stands in for it on a development machine.
 */
export type Enclave = Signer & {
  /** True where no hardware stands behind the documents. */
  simulated: boolean;
  /** False where no measurement covers the models: then no manifest is served. */
  measuresModels: boolean;
  /**
   * Fixes the measured set of models, by SHA-384 of the manifest bytes. Once, before anything is attested: a simulated
   * enclave throws Error on a second, different manifest. A real one throws Proof402Error `enclave_unusable` if its documents
   * are none that buyers could believe.
   */
  measureModels(manifest: Uint8Array): void | Promise<void>;
  /** PCR index -> SHA-384 hex. */
  measurements(): Record<"0" | "1" | "2", string>;
  /** A fresh attestation document (COSE_Sign1) that carries the nonce. */
  attest(nonce: Uint8Array): Promise<Uint8Array>;
  /** Tells a proxy in front that the node takes requests now. */
  ready?(): Promise<void>;
};
