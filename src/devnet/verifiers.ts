import type { Address } from "viem";
import { fromHex, keccak256, toHex, toHex0x } from "../evidence/bytes.ts";
import { canonicalSha256 } from "../evidence/canonical.ts";
import { keyPoints, type Groth16Key } from "../evidence/groth16.ts";
import type { Anvil } from "./anvil.ts";
import { devGroth16Verifier } from "./contracts/dev-groth16-verifier.artifact.ts";
import { deploy } from "./relay.ts";
import type { Bank } from "./token.ts";

/** A contract that checks proofs by one key on chain. */
export type ProofContract = { keySha256: string; contract: Address };

/** Deploys a verifier contract per key. */
export async function openVerifiers(anvil: Anvil, bank: Bank, keys: readonly Groth16Key[]): Promise<ProofContract[]> {
  return Promise.all(
    keys.map(async (key) => ({
      keySha256: toHex(canonicalSha256(key)),
      contract: await deploy(anvil, bank, devGroth16Verifier, [toHex0x(keccak256(fromHex(keyPoints(key))))]),
    })),
  );
}
