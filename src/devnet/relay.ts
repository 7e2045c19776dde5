import {
  createWalletClient,
  http,
  nonceManager,
  type Abi,
  type Address,
  type Hex,
  type HttpTransport,
  type WalletClient,
} from "viem";
import { privateKeyToAccount, type PrivateKeyAccount } from "viem/accounts";
import { foundry } from "viem/chains";
import { lowered } from "../evidence/bytes.ts";
import type { Anvil } from "./anvil.ts";
import { devRelay } from "./contracts/dev-relay.artifact.ts";
import { devValidationRegistry } from "./contracts/dev-validation-registry.artifact.ts";
import { POLL_MS, type Bank } from "./bank.ts";

/** A deployed relay contract. */
export type Relay = {
  address: Address;
  /** Its place, as buyers pin it. */
  place: { network: string; contract: Address };
  /** A way to have roots anchored, from an account of its own. Resolves when the transaction is sent, not when it is mined. */
  anchor(): Promise<(batch: { root: Hex; count: number; blobId?: Hex }) => Promise<Hex>>;
};

/**
 * Deploys a relay contract; its event names the anchored roots.
 *
 * @example
 * ```ts
 * import { openBank, openRelay, startAnvil } from "proof402/devnet";
 *
 * const anvil = await startAnvil();
 * const relay = await openRelay(anvil, await openBank(anvil));
 * process.stdout.write(relay.address);
 * ```
 */
export async function openRelay(anvil: Anvil, bank: Bank): Promise<Relay> {
  const address = await deploy(anvil, bank, devRelay);
  return {
    address,
    place: { network: `eip155:${anvil.chainId}`, contract: lowered(address) },
    async anchor() {
      const wallet = await walletOf(anvil, bank);
      return ({ root, count, blobId = "0x" }) =>
        wallet.writeContract({
          address,
          abi: devRelay.abi,
          functionName: "batchSettle",
          args: [root, BigInt(count), blobId],
        });
    },
  };
}

/**
 * Deploys an ERC-8004 Validation Registry, in which any account may have any agent validated.
 *
 * @example
 * ```ts
 * import { openBank, openValidationRegistry, startAnvil } from "proof402/devnet";
 *
 * const anvil = await startAnvil();
 * const registry = await openValidationRegistry(anvil, await openBank(anvil));
 * ```
 */
export const openValidationRegistry = (anvil: Anvil, bank: Bank): Promise<Address> =>
  deploy(anvil, bank, devValidationRegistry);

type Sender = WalletClient<HttpTransport, typeof foundry, PrivateKeyAccount>;

/** A fresh account with ether, which may send several transactions at once. */
export const walletOf = async (anvil: Anvil, bank: Bank): Promise<Sender> =>
  createWalletClient({
    account: privateKeyToAccount(await bank.fundedKey(), { nonceManager }),
    chain: foundry,
    transport: http(anvil.rpcUrl),
    pollingInterval: POLL_MS,
  });

/** Deploys a contract from an account of its own. */
export async function deploy(
  anvil: Anvil,
  bank: Bank,
  contract: { abi: Abi; bytecode: Hex },
  args: readonly unknown[] = [],
): Promise<Address> {
  const wallet = await walletOf(anvil, bank);
  const hash = await wallet.deployContract({ abi: contract.abi, bytecode: contract.bytecode, args });
  const { contractAddress } = await bank.client.waitForTransactionReceipt({ hash });
  if (contractAddress == null) throw new Error("the contract was not deployed");
  return lowered(contractAddress);
}
