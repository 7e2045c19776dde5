import * as z from "zod";
import { requireChainId } from "../chain/chain-id.ts";
import { readChannelStates, type ChannelState } from "../chain/channels.ts";
import { openClient, type ChainClient } from "../chain/client.ts";
import { isAuthorizationSpent, isBitSet } from "../chain/nonces.ts";
import { readSettling } from "../chain/settling.ts";
import type { Authorization } from "../evidence/methods/method.ts";
import { evidenceOf } from "../evidence/methods/methods.ts";
import { Proof402Error } from "../errors.ts";
import { keccak256, lowered, toHex0x, utf8, type Hex } from "../evidence/bytes.ts";
import { addressWord, AUTHORIZATION_USED_TOPIC, TRANSFER_TOPIC } from "../evidence/eip3009.ts";
import { lastSecondOf, movedBy, usesAuthorization } from "../evidence/settlement.ts";

/** What the chain says of an authorization. */
export type ChainView =
  /** It moved its amount to its payee, so many blocks ago. `time` is that block's, unix seconds. */
  | { state: "paid"; transaction: Hex; amount: bigint; depth: number; time: number }
  | { state: "unused" }
  /** It moves nothing to the payee any more: it ran out, or its owner canceled it. */
  | { state: "void" };

export type ChainReader = {
  /** Throws Proof402Error `wrong_chain` for a configured RPC of another chain. One that is away may come back. */
  requireChain(): Promise<void>;
  /** False where no RPC is known. */
  available(): Promise<boolean>;
  /**
   * Looks at blocks back to the time `since`, unix seconds, and first at the transaction that a facilitator named. Null where
   * the chain could not be read, or shows that the authorization was used and not how.
   */
  look(authorization: Authorization, options: { since: number; hint?: string | undefined }): Promise<ChainView | null>;
  /** Payment channels as the newest block has them, in their order. Null where the chain could not be read. */
  channels(ids: readonly string[]): Promise<ChannelState[] | null>;
};

/** keccak256("AuthorizationCanceled(address,bytes32)"), both arguments indexed (EIP-3009). */
const CANCELED_TOPIC = toHex0x(keccak256(utf8("AuthorizationCanceled(address,bytes32)")));
const TIMEOUT_MS = 5_000;
/** Blocks per `eth_getLogs`, which public RPCs limit, and how often it is asked. */
const CHUNK_BLOCKS = 500n;
const MAX_CHUNKS = 40;

/** Reads the chain that a node is paid on. Nothing is ever sent to it, and no answer of it throws. */
export function openChainReader(options: {
  network: string;
  rpcUrl: string | undefined;
  facilitatorUrl: string;
}): ChainReader {
  let client: Promise<ChainClient | null> | null = null;
  const open = (): Promise<ChainClient | null> =>
    (client ??= connect(options).catch(() => {
      client = null;
      return null;
    }));
  const read = async <T>(work: (client: ChainClient) => Promise<T>): Promise<T | null> => {
    try {
      const chain = await open();
      if (chain === null) return null;
      await requireChainId(chain, options.network);
      return await work(chain);
    } catch {
      return null;
    }
  };
  return {
    async requireChain() {
      const chain = options.rpcUrl === undefined ? null : await open();
      if (chain === null) return;
      await requireChainId(chain, options.network).catch((error: unknown) => {
        if (Proof402Error.isInstance(error)) throw error;
      });
    },
    available: async () => (await open()) !== null,
    look: (authorization, about) => read((client) => lookAt(client, authorization, about)),
    channels: (ids) => read((client) => readChannelStates(client, ids)),
  };
}

async function connect({
  network,
  rpcUrl,
  facilitatorUrl,
}: {
  network: string;
  rpcUrl: string | undefined;
  facilitatorUrl: string;
}): Promise<ChainClient | null> {
  const url = rpcUrl ?? (await rpcOfLocalFacilitator(facilitatorUrl, network));
  if (url === null) return null;
  return openClient({ url, timeoutMs: TIMEOUT_MS, retries: 0 });
}

const isLocal = (url: string): boolean =>
  /^https?:\/\/(?:127\.0\.0\.1|localhost|\[::1\])(?::[0-9]+)?(?:\/|$)/.test(url);

/** The RPC that a facilitator on this machine names, as the devnet's does; one from elsewhere is not asked. */
async function rpcOfLocalFacilitator(facilitatorUrl: string, network: string): Promise<string | null> {
  if (!isLocal(facilitatorUrl)) return null;
  const response = await fetch(`${facilitatorUrl}/supported`, { signal: AbortSignal.timeout(TIMEOUT_MS) });
  const named = z.object({ rpcUrls: z.record(z.string(), z.url()) }).safeParse(await response.json());
  const url = named.success ? named.data.rpcUrls[network] : undefined;
  return url !== undefined && isLocal(url) ? url : null;
}

async function lookAt(
  client: ChainClient,
  authorization: Authorization,
  { since, hint }: { since: number; hint?: string | undefined },
): Promise<ChainView | null> {
  const head = await client.getBlock();
  const hinted = hint === undefined ? null : await readTransaction(client, authorization, hint, head.number);
  if (hinted !== null) return hinted;
  const ended = Number(head.timestamp) > lastSecondOf(authorization);
  if (!(await isUsed(client, authorization))) return ended ? { state: "void" } : { state: "unused" };
  const owner = toHex0x(addressWord(authorization.payer));
  const topics = evidenceOf(authorization).usedByCall
    ? [TRANSFER_TOPIC, owner, toHex0x(addressWord(authorization.payTo))]
    : [[AUTHORIZATION_USED_TOPIC, CANCELED_TOPIC], owner, authorization.nonce];
  for (let to = head.number, chunk = 0; to >= 0n && chunk < MAX_CHUNKS; to -= CHUNK_BLOCKS, chunk += 1) {
    const from = to >= CHUNK_BLOCKS ? to - CHUNK_BLOCKS + 1n : 0n;
    const address = authorization.asset;
    const logs = await client.getLogs({ address, topics, fromBlock: from, toBlock: to });
    for (const { transactionHash, topics: found } of logs) {
      if (found[0]?.toLowerCase() === CANCELED_TOPIC) return { state: "void" };
      const paid =
        transactionHash == null ? null : await readTransaction(client, authorization, transactionHash, head.number);
      if (paid !== null) return paid;
    }
    if (from === 0n || Number((await client.getBlock(from)).timestamp) < since) break;
  }
  return ended ? { state: "void" } : null;
}

const isUsed = (client: ChainClient, authorization: Authorization): Promise<boolean> =>
  authorization.method === "eip3009" ? isAuthorizationSpent(client, authorization) : isBitSet(client, authorization);

/** Reads the transaction as this authorization's settlement, null if it is not. */
async function readTransaction(
  client: ChainClient,
  authorization: Authorization,
  hash: string,
  head: bigint,
): Promise<ChainView | null> {
  if (!/^0x[0-9a-fA-F]{64}$/.test(hash)) return null;
  const transaction = lowered(`0x${hash.slice(2)}`);
  const receipt = await client.getTransactionReceipt(transaction).catch(() => null);
  if (receipt === null || receipt.status !== "success") return null;
  const settling = await readSettling(client, authorization, { logs: receipt.logs, transactionHash: transaction });
  const amount = usesAuthorization(settling, authorization) ? movedBy(settling, authorization) : null;
  if (amount === null) return null;
  const block = await client.getBlock(receipt.blockNumber);
  if (block.hash !== receipt.blockHash) return null;
  const depth = Number(head - receipt.blockNumber);
  return { state: "paid", transaction, amount, depth, time: Number(block.timestamp) };
}
