import { concatBytes, fromHex0x, toHex0x, utf8, type Hex } from "../../evidence/bytes.ts";

/**
 * The address of LogRoots.sol on every chain: CREATE2 (EIP-1014) of its code under a salt of zeros, made by {@link DEPLOYER}.
 * No other code can stand there, and anybody may put it there.
 */
export const LOG_ROOTS = "0xfd049d8c3d7339e0ed1415f8a907b973ef95d515";
/** The deterministic deployment proxy, at this address on nearly every chain: it takes a salt and code to be made. */
export const DEPLOYER = "0x4e59b44847b379578588920ca78fbf26c0b4956c";
/** 32 bytes. */
export const SALT = new Uint8Array(32);

export const LOG_ROOTS_ABI = [
  {
    type: "function",
    name: "publish",
    stateMutability: "nonpayable",
    inputs: [
      { name: "name", type: "bytes32" },
      { name: "entries", type: "uint64" },
      { name: "root", type: "bytes32" },
    ],
    outputs: [],
  },
  {
    type: "function",
    name: "heads",
    stateMutability: "view",
    inputs: [
      { name: "publisher", type: "address" },
      { name: "name", type: "bytes32" },
    ],
    outputs: [
      { name: "entries", type: "uint64" },
      { name: "at", type: "uint64" },
      { name: "root", type: "bytes32" },
    ],
  },
] as const;

/** A log's name as the contract has it: its ASCII characters, filled up with zeros to 32 bytes. */
export const nameWord = (name: string): Hex => toHex0x(concatBytes(utf8(name), new Uint8Array(32 - name.length)));

/** The input that has {@link DEPLOYER} make the contract: the salt and the code. */
export async function deploymentInput(): Promise<Hex> {
  const { logRoots } = await import("./log-roots.artifact.ts");
  return toHex0x(concatBytes(SALT, fromHex0x(logRoots.bytecode)));
}
