import { custom, RpcRequestError, type Transport } from "viem";
import { openRpc, RpcFault } from "../chain/rpc.ts";

const REQUEST_MS = 10_000;

/** viem's way to an RPC as buyers ask it: its own `http` costs a multiple of the request's CPU. */
export function rpcTransport(url: string): Transport {
  const ask = openRpc({ url, timeoutMs: REQUEST_MS, retries: 0 });
  return custom({
    request: ({ method, params }: { method: string; params?: readonly unknown[] }) =>
      ask(method, params).catch((error: unknown) => {
        if (!(error instanceof RpcFault) || error.kind !== "refused") throw error;
        const { code = -32_603, data } = error.facts;
        throw new RpcRequestError({ body: { method, params }, url, error: { code, data, message: error.message } });
      }),
  });
}
