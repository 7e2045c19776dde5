import { fromHex0x, lowered, type Address, type Hex } from "../evidence/bytes.ts";
import { ACTIVE_TEES, PCR_APPROVED, type RegisteredTee, type RegistryPlace } from "../evidence/registry.ts";
import { teeIdOf } from "../evidence/tee-signature.ts";
import type { Chain } from "./chain.ts";
import type { ChainClient } from "./client.ts";
import { RpcFault } from "./rpc.ts";

/** Enclaves read of one registry, and images whose approval is asked for. */
const MAX_TEES = 256;
const MAX_IMAGES = 32;

/**
 * Reads the active enclaves of a type whose image the registry approves, in the registry's order. Throws the chain's
 * Proof402Error.
 */
export const readActiveTees = (
  chain: Chain,
  { contract, teeType }: RegistryPlace,
  signal?: AbortSignal,
): Promise<RegisteredTee[]> =>
  chain.read(
    async (client) => {
      const { number } = await client.getBlock();
      const entries = (await activeTees(client, contract, teeType, number)).slice(0, MAX_TEES);
      const images = [...new Set(entries.map(({ pcrHash }) => lowered(pcrHash)))].slice(0, MAX_IMAGES);
      const approved: Hex[] = [];
      for (const image of images) {
        const asked = { address: contract, abi: PCR_APPROVED, functionName: "isPCRApproved" } as const;
        if (await client.readContract({ ...asked, args: [teeType, image] }, number)) approved.push(image);
      }
      return entries.flatMap((entry): RegisteredTee[] => {
        const pcrHash = lowered(entry.pcrHash);
        if (!entry.enabled || entry.teeType !== teeType || !approved.includes(pcrHash)) return [];
        const publicKey = fromHex0x(lowered(entry.publicKey));
        const { endpoint } = entry;
        const tlsCertificate = fromHex0x(lowered(entry.tlsCertificate));
        const blockNumber = number.toString();
        return [{ blockNumber, teeId: teeIdOf(publicKey), endpoint, publicKey, tlsCertificate, pcrHash }];
      });
    },
    { signal },
  );

/** One function has two layouts: the newer one does not decode an older registry's answer. */
async function activeTees(client: ChainClient, address: Address, teeType: number, block: bigint) {
  const asked = { address, functionName: "getActiveTEEs", args: [teeType] } as const;
  try {
    return await client.readContract({ ...asked, abi: ACTIVE_TEES.newer }, block);
  } catch (error) {
    if (!(error instanceof RpcFault) || error.kind !== "unusable") throw error;
    return client.readContract({ ...asked, abi: ACTIVE_TEES.older }, block);
  }
}
