import type { Address } from "viem";
import { fromHex, keccak256, toHex, toHex0x } from "../evidence/bytes.ts";
import { canonicalSha256 } from "../evidence/canonical.ts";
import { keyPoints, type Groth16Key } from "../evidence/groth16.ts";
import type { NodeProving } from "../node/index.ts";
import { encodeProofRecord } from "../chain/owner/proof-calls.ts";
import type { Anvil } from "./anvil.ts";
import { devGroth16Verifier } from "./contracts/dev-groth16-verifier.artifact.ts";
import { deploy, walletOf } from "./relay.ts";
import type { Bank } from "./bank.ts";

/** A contract that checks proofs by one key on chain. */
export type ProofContract = { keySha256: string; contract: Address };

/** Deployed contracts, and a way to have proofs checked by them from an account of its own. */
export type Verifiers = { contracts: ProofContract[]; record: NonNullable<NodeProving["record"]> };

/** Deploys a verifier contract per key. */
export async function openVerifiers(anvil: Anvil, bank: Bank, keys: readonly Groth16Key[]): Promise<Verifiers> {
  const contracts = await Promise.all(
    keys.map(async (key) => ({
      keySha256: toHex(canonicalSha256(key)),
      contract: await deploy(anvil, bank, devGroth16Verifier, [toHex0x(keccak256(fromHex(keyPoints(key))))]),
    })),
  );
  const wallet = await walletOf(anvil, bank);
  return {
    contracts,
    async record({ key, proof, signals }) {
      const keySha256 = toHex(canonicalSha256(key));
      const found = contracts.find((one) => one.keySha256 === keySha256);
      if (found === undefined) throw new Error("no contract checks proofs by this key");
      const call = { kind: "proof-record", contract: found.contract, key, proof, signals } as const;
      const hash = await wallet.sendTransaction(await encodeProofRecord(call));
      const { gasUsed, status } = await bank.client.waitForTransactionReceipt({ hash });
      if (status !== "success") throw new Error("the contract did not find it proved");
      return { transaction: hash, gasUsed: String(gasUsed) };
    },
  };
}
