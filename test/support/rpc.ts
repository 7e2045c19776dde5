import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { onTestFinished } from "vitest";

/** One JSON-RPC request. */
export type RpcCall = { id: number; method: string; params: unknown[] };

/** What stands in for the node's answer: another result or error, an HTTP answer, or none at all. */
export type Lie =
  | { result: unknown }
  | { error: { code: number; message: string } }
  | { status: number; headers?: Record<string, string>; body?: string }
  | "silence";

/** An RPC in front of a real node, which answers for itself where `lie` names an answer. It ends with the test. */
export async function rpcInFront(
  target: string,
  lie: (call: RpcCall, honest: () => Promise<unknown>) => Lie | undefined | Promise<Lie | undefined>,
): Promise<{ url: string; calls: RpcCall[] }> {
  const calls: RpcCall[] = [];
  const server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on("data", (chunk: Buffer) => chunks.push(chunk));
    request.on("end", () => {
      const body = Buffer.concat(chunks).toString();
      const call: RpcCall = { params: [], ...(JSON.parse(body) as Omit<RpcCall, "params">) };
      calls.push(call);
      const ask = async (): Promise<Record<string, unknown>> => {
        const answer = await fetch(target, { method: "POST", headers: { "content-type": "application/json" }, body });
        return (await answer.json()) as Record<string, unknown>;
      };
      const answer = async (): Promise<void> => {
        const own = await lie(call, async () => (await ask()).result);
        if (own === "silence") return;
        if (own !== undefined && "status" in own) {
          response.writeHead(own.status, own.headers).end(own.body ?? "");
          return;
        }
        const json = own === undefined ? await ask() : { jsonrpc: "2.0", id: call.id, ...own };
        response.setHeader("content-type", "application/json").end(JSON.stringify(json));
      };
      answer().catch(() => response.destroy());
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  onTestFinished(async () => {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  });
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, calls };
}
