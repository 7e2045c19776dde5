import type { Config } from "../config/schema.ts";
import { toHex } from "../evidence/bytes.ts";
import { canonicalSha256 } from "../evidence/canonical.ts";
import { Proof402Error } from "../errors.ts";
import { openChain } from "../chain/chain.ts";
import { sendOwnerCall, type Owner, type Sent } from "../chain/owner/send.ts";
import type { Groth16Evidence, Receipt } from "../receipts/schema.ts";

/** A proof for a contract to check, and that contract. */
export type ProofOnChain = {
  contract: string;
  /** CAIP-2. */
  network: string;
  /** Has it checked. Throws Proof402Error `transaction_failed` where the contract does not find it proved. */
  record(owner: Omit<Owner, "chain">): Promise<Sent>;
};

/**
 * Finds the receipt's proof and the contract configured for its key. Throws Proof402Error `proof_missing` or
 * `proof_contract_not_configured`.
 */
export function proofOnChain(receipt: Receipt, config: Config): ProofOnChain {
  const proof = [...receipt.core.evidence, ...receipt.later.map(({ evidence }) => evidence)].find(
    (one): one is Groth16Evidence => one.kind === "zk.groth16",
  );
  if (proof === undefined) {
    throw new Proof402Error("proof_missing", "The receipt has no zk proof.", { next: "Leave --proof out." });
  }
  const keySha256 = toHex(canonicalSha256(proof.key));
  const verifier = config.proofContracts.find((one) => one.keySha256 === keySha256);
  const network = config.networks.find((one) => one.network === verifier?.network);
  if (verifier === undefined || network === undefined) {
    throw new Proof402Error("proof_contract_not_configured", "No contract is configured for the proof's key.", {
      next: `Add to proofContracts: { "network", "contract", "keySha256": "${keySha256}" }.`,
    });
  }
  return {
    contract: verifier.contract,
    network: verifier.network,
    record(owner) {
      const { key, proof: points, signals } = proof;
      const contract = `0x${verifier.contract.slice(2)}` as const;
      const call = { kind: "proof-record", contract, key, proof: points, signals } as const;
      return sendOwnerCall({ ...owner, chain: openChain(network) }, call);
    },
  };
}
