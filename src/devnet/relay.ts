import { createWalletClient, http, type Address } from "viem";
import { privateKeyToAccount } from "viem/accounts";
import { foundry } from "viem/chains";
import type { NodeAnchoring } from "../node/index.ts";
import type { Anvil } from "./anvil.ts";
import { devRelay } from "./contracts/dev-relay.artifact.ts";
import { POLL_MS, type Bank } from "./token.ts";

/** A deployed relay contract. */
export type Relay = {
  address: Address;
  /** A way to have roots anchored, from an account of its own. Resolves when the transaction is sent, not when it is mined. */
  anchor(): Promise<NodeAnchoring["anchor"]>;
};

/** Deploys a relay contract whose event says which roots were anchored. */
export async function openRelay(anvil: Anvil, bank: Bank): Promise<Relay> {
  const walletOf = async () =>
    createWalletClient({
      account: privateKeyToAccount(await bank.fundedKey()),
      chain: foundry,
      transport: http(anvil.rpcUrl),
      pollingInterval: POLL_MS,
    });
  const deployer = await walletOf();
  const hash = await deployer.deployContract({ abi: devRelay.abi, bytecode: devRelay.bytecode });
  const { contractAddress } = await bank.client.waitForTransactionReceipt({ hash });
  if (contractAddress == null) throw new Error("the relay was not deployed");
  const address = contractAddress.toLowerCase() as Address;
  return {
    address,
    async anchor() {
      const wallet = await walletOf();
      return ({ root, count }) =>
        wallet.writeContract({
          address,
          abi: devRelay.abi,
          functionName: "batchSettle",
          args: [root, BigInt(count), "0x"],
        });
    },
  };
}
