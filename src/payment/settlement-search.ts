import { keccak256, toHex0x, utf8 } from "../evidence/bytes.ts";
import { addressWord, AUTHORIZATION_USED_TOPIC, TRANSFER_TOPIC } from "../evidence/eip3009.ts";
import { evidenceOf } from "../evidence/methods/methods.ts";
import type { Payment } from "../receipts/schema.ts";
import type { Chain } from "../chain/chain.ts";
import type { ChainClient, FoundLog, LogFilter } from "../chain/client.ts";
import { RpcFault } from "../chain/rpc.ts";
import { readBlock, readTransaction, type Block, type TokenTransaction } from "./settlement-read.ts";

/** keccak256("AuthorizationCanceled(address,bytes32)"), both arguments indexed (EIP-3009). */
const AUTHORIZATION_CANCELED_TOPIC = toHex0x(keccak256(utf8("AuthorizationCanceled(address,bytes32)")));

/** The longest life an authorization can have under any policy, with room for a skewed clock, seconds. */
const SEARCH_SECONDS = 3600 + 900;
/** How far the chain's clock may be behind ours, seconds, before the narrow search misses what is looked for. */
const SKEW_SECONDS = 60;
/** The most blocks asked for in one `eth_getLogs`; many RPCs allow fewer. */
const MOST_BLOCKS = 2000n;
/** The most `eth_getLogs` of one search. */
const MOST_REQUESTS = 150;

/** How many blocks an RPC was found to allow, for as long as the chain is open. */
const allowed = new WeakMap<Chain, bigint>();

/**
 * The transaction that used the nonce (or, under EIP-3009, canceled it), looked for where its use was possible; null where
 * none is found. `since` is when it was signed, unix seconds: there it is looked for first.
 */
export async function findSpender(
  chain: Chain,
  client: ChainClient,
  payment: Payment,
  head: Block,
  since: number | undefined,
): Promise<TokenTransaction | null> {
  const whole = payment.validBefore - SEARCH_SECONDS;
  const [, last] = await bracket(client, head, payment.validBefore);
  const search = { requests: 0 };
  const firstOf = async (time: number): Promise<bigint> => (await bracket(client, head, time))[0];
  const near = since === undefined ? last : await firstOf(Math.max(since - SKEW_SECONDS, whole));
  return (
    (await searchLogs(chain, client, payment, { first: near, last }, search)) ??
    (await searchLogs(chain, client, payment, { first: await firstOf(whole), last: near }, search))
  );
}

async function searchLogs(
  chain: Chain,
  client: ChainClient,
  payment: Payment,
  { first, last }: { first: bigint; last: bigint },
  search: { requests: number },
): Promise<TokenTransaction | null> {
  let from = first;
  while (from <= last && search.requests < MOST_REQUESTS) {
    search.requests += 1;
    const blocks = allowed.get(chain) ?? MOST_BLOCKS;
    const to = from + blocks - 1n < last ? from + blocks - 1n : last;
    const logs = await readLogs(client, payment, from, to);
    if (logs === null) {
      // From what was asked for, which may have been less than was thought to be allowed.
      allowed.set(chain, (to - from + 1n) / 2n);
      continue;
    }
    for (const hash of new Set(logs.flatMap((log) => log.transactionHash?.toLowerCase() ?? []))) {
      const found = await readTransaction(client, payment, hash);
      // A log of the use names the nonce, so its transaction is the one; a transfer may be another payment's.
      if (found?.used === true || !evidenceOf(payment).usedByCall) return found;
    }
    from = to + 1n;
  }
  return null;
}

/** The logs that may show the use of the nonce; null where the RPC refuses as many blocks. */
async function readLogs(
  client: ChainClient,
  payment: Payment,
  from: bigint,
  to: bigint,
): Promise<readonly FoundLog[] | null> {
  const payer = toHex0x(addressWord(payment.payer));
  const topics: LogFilter["topics"] = evidenceOf(payment).usedByCall
    ? [TRANSFER_TOPIC, payer, toHex0x(addressWord(payment.payTo))]
    : [[AUTHORIZATION_USED_TOPIC, AUTHORIZATION_CANCELED_TOPIC], payer, payment.nonce];
  return client.getLogs({ address: payment.asset, topics, fromBlock: from, toBlock: to }).catch((error: unknown) => {
    if (from < to && isRefusal(error)) return null;
    throw error;
  });
}

/** Tells whether the RPC understood and refused: each has its own words for too many blocks. */
function isRefusal(error: unknown): boolean {
  if (!(error instanceof RpcFault)) return false;
  const { code, status } = error.facts;
  if (code === 429 || status === 429) return false;
  return code !== undefined || status === 400 || status === 413 || status === 422;
}

/** Two block numbers not far apart, the first before `time` (or block 0) and the second not before it, or the head's. */
async function bracket(client: ChainClient, head: Block, time: number): Promise<[bigint, bigint]> {
  // A chain whose clock lags ours by that much: its newest blocks are all that can matter.
  if (head.time < time) return [head.number > MOST_BLOCKS ? head.number - MOST_BLOCKS : 0n, head.number];
  let after = head.number;
  let before = head.number;
  for (let step = 64n; before > 0n; step *= 2n) {
    before = before > step ? before - step : 0n;
    if ((await readBlock(client, before)).time < time) break;
    after = before;
  }
  while (after - before > 16n) {
    const middle = (before + after) / 2n;
    if ((await readBlock(client, middle)).time < time) before = middle;
    else after = middle;
  }
  return [before, after];
}
