import { setMaxListeners } from "node:events";
import { requireChainId } from "./chain-id.ts";
import { Proof402Error } from "../errors.ts";
import { requireCheckedTls } from "./checked-tls.ts";
import { openClient, type ChainClient } from "./client.ts";
import { gasCap } from "./owner/fees.ts";
import { isUnanswered, RpcFault } from "./rpc.ts";

/** Where and how a chain is read: one entry of the configuration's `networks`. */
export type ChainConfig = {
  /** CAIP-2, e.g. `eip155:8453`. */
  network: string;
  rpcUrl: string;
  /** Another operator's RPC, which must agree before a payment counts as settled or as released. */
  witnessRpcUrl?: string | undefined;
  /** Blocks on top of a block before what it holds is believed. */
  confirmations: number;
  pollMilliseconds: number;
  /** Most that one of the owner's own transactions may cost in gas, in whole coins of the chain, such as `0.01`. */
  maxGasCost?: string;
};

/** How long a look may take. */
export type LookLimits = {
  /** The longest a look may take as a whole, seconds; 20 where absent. */
  seconds?: number;
  /** Ends the look. */
  signal?: AbortSignal | undefined;
};

/** A chain to read from. Nothing is ever sent to it. */
export type Chain = {
  network: string;
  confirmations: number;
  /** The same chain as the second RPC shows it; null where none is configured. */
  witness: Chain | null;
  pollMilliseconds: number;
  /** Most that one of the owner's own transactions may cost in gas, wei. */
  maxGasCost: bigint;
  /**
   * Runs `work` with a client of the chain. The chain's id is read before and after: an RPC that answers for another
   * chain in between is not believed. Throws Proof402Error `wrong_chain`, `contract_missing` if `work` asks an address
   * without code, `chain_unreachable` if the RPC fails or takes too long, or `chain_answer_unusable` if it answers
   * nonsense. None names the RPC's address: it may hold a key.
   */
  read<T>(work: (client: ChainClient) => Promise<T>, limits?: LookLimits): Promise<T>;
};

const LOOK_SECONDS = 20;
const REQUEST_MS = 10_000;

/**
 * Opens a chain lazily: no request is made before the first read. Throws Proof402Error `tls_unchecked` where the environment
 * has Node take any certificate.
 */
export function openChain(config: ChainConfig): Chain {
  const { network, rpcUrl, confirmations, witnessRpcUrl } = config;
  requireCheckedTls(rpcUrl, `the RPC of ${network}`);
  return {
    network,
    confirmations,
    pollMilliseconds: config.pollMilliseconds,
    maxGasCost: gasCap(config.maxGasCost),
    witness:
      witnessRpcUrl === undefined ? null : openChain({ ...config, rpcUrl: witnessRpcUrl, witnessRpcUrl: undefined }),
    async read(work, { seconds = LOOK_SECONDS, signal } = {}) {
      const look = async (end: AbortSignal) => {
        const client = await openClient({ url: rpcUrl, timeoutMs: REQUEST_MS, retries: 1, signal: end });
        await requireChainId(client, network);
        const found = await work(client).catch((error: unknown) => requireContract(client, network, error));
        await requireChainId(client, network);
        return found;
      };
      try {
        return await within(seconds, signal, look);
      } catch (error) {
        if (Proof402Error.isInstance(error)) throw error;
        // An RPC's own words are a stranger's: only the kind of error is kept.
        throw unread(network, error);
      }
    },
  };
}

/** Throws `contract_missing` for an empty answer of an address without code, and any other error as it is. */
async function requireContract(client: ChainClient, network: string, error: unknown): Promise<never> {
  // A reader that knows the contract has said it in its own words.
  const asked = error instanceof RpcFault && error.kind === "empty" ? error.facts.address : undefined;
  if (asked === undefined) throw error;
  const address = asked.toLowerCase();
  if ((await client.getCode(asked)) !== "0x") throw error;
  throw new Proof402Error("contract_missing", `There is no contract at ${address} on ${network}.`, {
    next: "Check that networks[] and the addresses of the configuration are of the chain that is meant.",
    details: { network, address },
  });
}

function unread(network: string, error: unknown): Proof402Error {
  const kind = error instanceof RpcFault ? error.kind : "unusable";
  const how = {
    next: "Ask again later. Check networks[].rpcUrl if this lasts.",
    details: { network, error: kind },
  };
  return isUnanswered(error)
    ? new Proof402Error("chain_unreachable", `The RPC of ${network} gave no usable answer.`, how)
    : new Proof402Error("chain_answer_unusable", `The RPC of ${network} answers, but not what it was asked for.`, how);
}

/** Whether a look learned nothing of a chain. A later one may. */
export const isUnread = (error: unknown): error is Proof402Error =>
  Proof402Error.isInstance(error) && ["chain_unreachable", "chain_answer_unusable"].includes(error.code);

/** The work's outcome; rejects once the time is over or `signal` fires, and ends the requests under way. */
async function within<T>(
  seconds: number,
  signal: AbortSignal | undefined,
  work: (end: AbortSignal) => Promise<T>,
): Promise<T> {
  const end = new AbortController();
  // One listener a request, and a look may make many at once.
  setMaxListeners(0, end.signal);
  const stop = (): void => end.abort();
  const timer = setTimeout(stop, seconds * 1000);
  timer.unref();
  if (signal?.aborted === true) stop();
  signal?.addEventListener("abort", stop, { once: true });
  try {
    return await Promise.race([
      work(end.signal),
      new Promise<never>((_resolve, reject) => {
        const ended = (): void => reject(new DOMException("the look ended", "TimeoutError"));
        if (end.signal.aborted) ended();
        end.signal.addEventListener("abort", ended, { once: true });
      }),
    ]);
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener("abort", stop);
  }
}

/** The chain of a network. Throws Proof402Error `network_not_configured`. */
export function chainOf(chains: ReadonlyMap<string, Chain>, network: string): Chain {
  const chain = chains.get(network);
  if (chain !== undefined) return chain;
  throw new Proof402Error("network_not_configured", `No RPC is configured for ${network}.`, {
    next: "Add it to networks.",
  });
}
