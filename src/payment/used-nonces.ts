import { hasBit, NONCES_ABI, wordOf } from "../chain/nonces.ts";
import { lowered, toHex0x, type Address, type Hex } from "../evidence/bytes.ts";
import { addressWord, AUTHORIZATION_USED_TOPIC, TRANSFER_TOPIC } from "../evidence/eip3009.ts";
import { PERMIT2 } from "../evidence/permit2.ts";
import { answersInTime } from "./before-paying.ts";
import type { Chain } from "../chain/chain.ts";
import type { ChainClient, FoundLog, LogFilter } from "../chain/client.ts";
import type { AssetPolicy } from "./policy.ts";

/** Longest that a chain may hold up a payment, seconds; without an answer it is made all the same. */
const PATIENCE_SECONDS = 2;
/** Longest that the transaction behind a used nonce is looked for, seconds. */
const SEARCH_SECONDS = 5;
/** Blocks looked at for it: all at once, then fewer where the RPC allows no more. */
const RANGES = [null, 10_000n, 2000n, 500n] as const;
/** Newest transfers of the payer that are read for a permit: Permit2 emits no event that names its nonce. */
const MOST_TRANSFERS = 32;

/** A nonce that a chain shows as used (or canceled). */
export type NonceUse = {
  network: string;
  nonce: Hex;
  /** 0x hex; null where the chain shows none that moved money by it. */
  transaction: Hex | null;
  /** That transaction is confirmed and used the nonce, by the receipts of all configured RPCs of the network. */
  confirmed: boolean;
};

type Looked = {
  chains: ReadonlyMap<string, Chain>;
  assets: readonly Pick<AssetPolicy, "network" | "asset">[];
  payer: Address;
  nonces: Hex[];
};

/**
 * Whether any of the payer's nonces is used: by EIP-3009 in any of the policy's tokens, or in Permit2 on any of their networks,
 * by the word of either RPC where two are configured. The networks are looked at together, each in one read and within a
 * bounded time; one that does not answer shows nothing.
 */
export async function findUse({ chains, assets, ...wanted }: Looked): Promise<NonceUse | null> {
  const looks = [...chains.values()].flatMap((chain) => {
    const tokens = assets.filter(({ network }) => network === chain.network).map(({ asset }) => asset);
    if (tokens.length === 0) return [];
    return rpcsOf(chain).map((rpc) => lookAt(rpc, { ...wanted, tokens }));
  });
  const found = (await Promise.all(looks)).find((use) => use !== null);
  if (found === undefined || found === null) return null;
  const { used, ...use } = found;
  const chain = chains.get(use.network);
  const shown = await Promise.all(
    (chain === undefined ? [] : rpcsOf(chain)).map((rpc) => isConfirmed(rpc, wanted.payer, used, use.transaction)),
  );
  return { ...use, confirmed: shown.length > 0 && shown.every((one) => one) };
}

/** The RPCs that a network is read by. */
const rpcsOf = (chain: Chain): Chain[] => [chain, ...(chain.witness === null ? [] : [chain.witness])];

/** Whether an RPC shows the receipt of a transaction that succeeded, deep enough, and moved money by the payer's nonce. */
async function isConfirmed(
  chain: Chain,
  payer: Address,
  { nonce, token }: Used,
  transaction: Hex | null,
): Promise<boolean> {
  if (transaction === null) return false;
  const topics =
    token === null ? [TRANSFER_TOPIC, addressWord(payer)] : [AUTHORIZATION_USED_TOPIC, addressWord(payer), nonce];
  const wanted = topics.map((topic) => (typeof topic === "string" ? topic : toHex0x(topic)).toLowerCase());
  const look = chain.read(
    async (client) => {
      const head = await client.getBlockNumber();
      const receipt = await client.getTransactionReceipt(transaction);
      if (receipt === null) return false;
      const { status, blockNumber, logs } = receipt;
      const used = logs.some(
        (log) =>
          (token === null || log.address.toLowerCase() === token) &&
          wanted.every((topic, index) => log.topics[index]?.toLowerCase() === topic),
      );
      return status === "success" && used && head - blockNumber >= BigInt(chain.confirmations);
    },
    { seconds: SEARCH_SECONDS },
  );
  return look.catch(() => false);
}

type Wanted = { tokens: Address[]; payer: Address; nonces: Hex[] };

async function lookAt(chain: Chain, wanted: Wanted): Promise<(Omit<NonceUse, "confirmed"> & { used: Used }) | null> {
  if (!(await answersInTime(chain))) return null;
  const limits = { seconds: PATIENCE_SECONDS };
  const used = await chain.read((client) => firstUsed(client, wanted), limits).catch(() => null);
  if (used === null) return null;
  const transaction = await chain
    .read((client) => transactionOf(client, wanted, used), { seconds: SEARCH_SECONDS })
    .catch(() => null);
  return { network: chain.network, nonce: used.nonce, transaction, used };
}

/** `token` is null of a permit. */
type Used = { nonce: Hex; token: Address | null };

/** The call to read its use: a flag of the token, or the word of Permit2 with its bit. */
function callFor(owner: Hex, { nonce, token }: Used) {
  if (token === null) {
    const args = [owner, wordOf(nonce)] as const;
    return { address: PERMIT2, abi: NONCES_ABI, functionName: "nonceBitmap", args } as const;
  }
  const args = [owner, nonce] as const;
  return {
    address: token,
    abi: NONCES_ABI,
    functionName: "authorizationState",
    args,
  } as const;
}

async function firstUsed(client: ChainClient, { tokens, payer, nonces }: Wanted): Promise<Used | null> {
  const asked = [...tokens, null].flatMap((token) => nonces.map((nonce): Used => ({ nonce, token })));
  const calls = asked.map((one) => callFor(payer, one));
  const together = await client.readSome(calls).catch(() => []);
  // A chain without a contract for many calls is asked for each. A token without EIP-3009 answers nothing.
  const words = together.some((word) => word !== null)
    ? together
    : await Promise.all(calls.map((call) => client.readContract(call).catch(() => null)));
  const isUsed = (word: boolean | bigint | null | undefined, { nonce }: Used): boolean =>
    typeof word === "bigint" ? hasBit(word, nonce) : word === true;
  return asked.find((one, index) => isUsed(words[index], one)) ?? null;
}

/** The newest transaction that used it, where the RPC shows as many blocks. */
async function transactionOf(client: ChainClient, wanted: Wanted, used: Used): Promise<Hex | null> {
  const head = await client.getBlockNumber();
  for (const blocks of RANGES) {
    const from = blocks === null || blocks > head ? 0n : head - blocks;
    const logs = await readLogs(client, wanted, used, from).catch(() => null);
    if (logs !== null) return spenderAmong(client, used, logs);
  }
  return null;
}

function readLogs(
  client: ChainClient,
  { tokens, payer }: Wanted,
  { nonce, token }: Used,
  from: bigint,
): Promise<readonly FoundLog[]> {
  const owner = toHex0x(addressWord(payer));
  const topics: LogFilter["topics"] =
    token === null ? [TRANSFER_TOPIC, owner] : [AUTHORIZATION_USED_TOPIC, owner, nonce];
  const address = token === null ? tokens : [token];
  return client.getLogs({ address, topics, fromBlock: from, toBlock: "latest" });
}

async function spenderAmong(
  client: ChainClient,
  { nonce, token }: Used,
  logs: readonly FoundLog[],
): Promise<Hex | null> {
  const hashes = [...new Set(logs.toReversed().flatMap(({ transactionHash }) => transactionHash ?? []))];
  if (token !== null) return hashes[0] === undefined ? null : lowered(hashes[0]);
  for (const hash of hashes.slice(0, MOST_TRANSFERS)) {
    const { input } = await client.getTransaction(hash);
    if (input.toLowerCase().includes(nonce.slice(2))) return lowered(hash);
  }
  return null;
}
