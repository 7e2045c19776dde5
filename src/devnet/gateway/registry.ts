import type { Address, Hex } from "viem";
import { lowered, toHex0x } from "../../evidence/bytes.ts";
import type { Anvil } from "../anvil.ts";
import type { Bank } from "../bank.ts";
import { devTeeRegistry } from "../contracts/dev-tee-registry.artifact.ts";
import { devTeeRegistryOlder } from "../contracts/dev-tee-registry-older.artifact.ts";
import { deploy, walletOf } from "../relay.ts";

/** An enclave as it is registered. */
export type Registration = {
  publicKey: Uint8Array;
  tlsCertificate: Uint8Array;
  paymentAddress: Address;
  endpoint: string;
  /** PCR index -> SHA-384 hex. */
  measurements: Record<"0" | "1" | "2", string>;
};

/** A deployed registry of enclaves. */
export type TeeRegistry = {
  address: Address;
  place: { network: string; contract: Address; teeType: number };
  /** Registers an enclave and approves its image; its id. */
  register(entry: Registration): Promise<Hex>;
  disable(teeId: Hex): Promise<void>;
  /** Takes back the approval of an image by its keccak256. */
  revoke(pcrHash: Hex): Promise<void>;
};

/** OpenGradient's type of a gateway for language models. */
const LLM_PROXY = 0;
/** No devnet lives long enough for a heartbeat to matter. */
const HEARTBEAT_SECONDS = 365n * 86_400n;

/** Deploys a registry of enclaves. `older` deploys the one without keys for OHTTP in its entries. */
export async function openTeeRegistry(
  anvil: Anvil,
  bank: Bank,
  options: { older?: boolean } = {},
): Promise<TeeRegistry> {
  const artifact = options.older === true ? devTeeRegistryOlder : devTeeRegistry;
  const address = await deploy(anvil, bank, artifact, [HEARTBEAT_SECONDS]);
  const wallet = await walletOf(anvil, bank);
  const { abi } = devTeeRegistry;
  const mined = async (hash: Hex): Promise<void> => {
    const { status } = await bank.client.waitForTransactionReceipt({ hash });
    if (status !== "success") throw new Error("the registry refused");
  };
  return {
    address,
    place: { network: `eip155:${anvil.chainId}`, contract: lowered(address), teeType: LLM_PROXY },
    async register({ publicKey, tlsCertificate, paymentAddress, endpoint, measurements }) {
      const pcrs = {
        pcr0: `0x${measurements[0]}`,
        pcr1: `0x${measurements[1]}`,
        pcr2: `0x${measurements[2]}`,
      } as const;
      const at = { address, abi } as const;
      await mined(await wallet.writeContract({ ...at, functionName: "approvePCR", args: [pcrs, "devnet", LLM_PROXY] }));
      const pcrHash = await bank.client.readContract({ ...at, functionName: "computePCRHash", args: [pcrs] });
      const key = toHex0x(publicKey);
      const args = [key, toHex0x(tlsCertificate), paymentAddress, endpoint, LLM_PROXY, pcrHash] as const;
      await mined(await wallet.writeContract({ ...at, functionName: "registerTEE", args }));
      return bank.client.readContract({ ...at, functionName: "computeTEEId", args: [key] });
    },
    async disable(teeId) {
      await mined(await wallet.writeContract({ address, abi, functionName: "disableTEE", args: [teeId] }));
    },
    async revoke(pcrHash) {
      await mined(await wallet.writeContract({ address, abi, functionName: "revokePCR", args: [pcrHash, LLM_PROXY] }));
    },
  };
}
