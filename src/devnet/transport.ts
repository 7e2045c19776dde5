import { custom, RpcRequestError, type Transport } from "viem";
import { openRpc, RpcFault } from "../chain/rpc.ts";

const REQUEST_MS = 10_000;

/** viem's way to an RPC over the connections that buyers use: its own `http` costs several times the CPU of a request. */
export function rpcTransport(url: string): Transport {
  const opened = openRpc({ url, timeoutMs: REQUEST_MS, retries: 0 });
  return custom({
    async request({ method, params }: { method: string; params?: readonly unknown[] }) {
      const ask = await opened;
      return ask(method, params).catch((error: unknown) => {
        if (!(error instanceof RpcFault) || error.kind !== "refused") throw error;
        const { code = -32_603, data } = error.facts;
        throw new RpcRequestError({ body: { method, params }, url, error: { code, data, message: error.message } });
      });
    },
  });
}
