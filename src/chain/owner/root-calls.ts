import { toHex0x, fromHex, type Hex } from "../../evidence/bytes.ts";
import { DEPLOYER, deploymentInput, LOG_ROOTS, LOG_ROOTS_ABI, nameWord } from "../log-roots/contract.ts";

/** Puts the contract of roots on the chain, or a root over one of the wallet's logs into it. */
export type RootCall =
  | { kind: "roots-deploy" }
  /** `root` is 32 bytes as hex. */
  | { kind: "root-publish"; name: string; entries: number; root: string };

/** Names a log in the rows of the owner's transactions. */
export const rootSubject = (name: string): string => `root ${name}`;

/** The call of the deployer, or of the contract. */
export async function encodeRootCall(call: RootCall): Promise<{ to: Hex; data: Hex }> {
  if (call.kind === "roots-deploy") return { to: DEPLOYER, data: await deploymentInput() };
  const { encodeData } = await import("ox/AbiFunction");
  const args = [nameWord(call.name), BigInt(call.entries), toHex0x(fromHex(call.root))] as const;
  return { to: LOG_ROOTS, data: encodeData(LOG_ROOTS_ABI, "publish", args) };
}
