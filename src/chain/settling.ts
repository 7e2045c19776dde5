import type { TokenLog } from "../evidence/eip3009.ts";
import type { Authorization } from "../evidence/methods/method.ts";
import { evidenceOf } from "../evidence/methods/methods.ts";
import { permitOf } from "../evidence/methods/permits.ts";
import { settlingInput } from "../evidence/permit2.ts";
import type { ChainClient, TransactionReceipt } from "./client.ts";
import { loweredLog } from "./mined.ts";
import { lowered, type Address, type Hex } from "../evidence/bytes.ts";

/** A transaction as it touched an authorization's token, in lower case. */
export type Settling = {
  logs: (TokenLog & { logIndex: number })[];
  /** The call itself, if only its input shows the authorization it used. */
  to?: Address;
  input?: Hex;
};

/** What a successful transaction shows of an authorization. Throws what the client throws. */
export async function readSettling(
  client: ChainClient,
  authorization: Authorization,
  receipt: Pick<TransactionReceipt, "logs" | "transactionHash">,
): Promise<Settling> {
  const logs = receipt.logs.map(loweredLog).filter((log) => log.address === authorization.asset);
  if (!evidenceOf(authorization).usedByCall) return { logs };
  const { to, input } = await client.getTransaction(receipt.transactionHash);
  // Bytes after the call's arguments are no part of the evidence.
  return to === null
    ? { logs }
    : { logs, to: lowered(to), input: settlingInput(lowered(input), permitOf(authorization)) };
}
