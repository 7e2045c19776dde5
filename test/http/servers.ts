import { spawn } from "node:child_process";
import { once } from "node:events";
import { createServer, type RequestListener } from "node:http";
import { createServer as createTcpServer, type AddressInfo, type Server, type Socket } from "node:net";
import { onTestFinished } from "vitest";
import type { Proof402Error } from "../../src/errors.ts";
import { createHttp, type Http, type HttpLimits } from "../../src/http/client.ts";

/** Runs `close` when the test is over; what was opened last is closed first. */
export const closing = (close: () => unknown): void =>
  onTestFinished(async () => {
    await close();
  });

async function listen(server: Server): Promise<{ origin: string; port: number; sockets: Set<Socket> }> {
  const sockets = new Set<Socket>();
  server.on("connection", (socket: Socket) => {
    sockets.add(socket);
    socket.on("error", () => undefined).on("close", () => sockets.delete(socket));
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  closing(() => {
    for (const socket of sockets) socket.destroy();
    return new Promise((resolve) => server.close(resolve));
  });
  const { port } = server.address() as AddressInfo;
  return { origin: `http://127.0.0.1:${port}`, port, sockets };
}

/** A real HTTP server for one test. */
export const serve = (listener: RequestListener): ReturnType<typeof listen> => listen(createServer(listener));

/** A server of raw bytes: `answer` is called once the head of each request is in. */
export const serveRaw = (
  answer: (socket: Socket, head: string) => void,
  onConnection: (socket: Socket) => void = () => undefined,
): ReturnType<typeof listen> =>
  listen(
    createTcpServer((socket) => {
      onConnection(socket);
      let text = "";
      socket.on("data", (chunk) => {
        text += chunk.toString("latin1");
        if (!text.includes("\r\n\r\n")) return;
        const head = text;
        text = "";
        answer(socket, head);
      });
    }),
  );

/** Runs a server in a process of its own, so that its memory is not ours. `source` prints its port. */
export async function serveFromProcess(source: string): Promise<string> {
  const child = spawn(process.execPath, ["-e", source], { stdio: ["ignore", "pipe", "inherit"] });
  closing(() => child.kill());
  const [line] = (await once(child.stdout, "data")) as [Buffer];
  return `http://127.0.0.1:${line.toString().trim()}`;
}

/** A client that may talk to this machine. */
export function client(limits: Partial<HttpLimits> = {}, options: Parameters<typeof createHttp>[1] = {}): Http {
  const http = createHttp(
    {
      allowPrivateAddresses: true,
      connectSeconds: 10,
      idleSeconds: 10,
      totalSeconds: 30,
      maxResponseBytes: 1_000_000,
      ...limits,
    },
    options,
  );
  closing(() => http.close());
  return http;
}

/** The error a promise fails with. */
export async function failure(promise: Promise<unknown>): Promise<Proof402Error> {
  try {
    await promise;
  } catch (error) {
    return error as Proof402Error;
  }
  throw new Error("it did not fail");
}

/** What a caller reads of a failure. */
export async function outcome(promise: Promise<unknown>): Promise<{ code: string; requestSent: unknown }> {
  const error = await failure(promise);
  return { code: error.code, requestSent: error.details["requestSent"] };
}

/** Largest growth of resident memory while `work` runs, bytes. */
export async function memoryGrowth(work: () => Promise<unknown>): Promise<number> {
  const before = process.memoryUsage.rss();
  let highest = before;
  const timer = setInterval(() => (highest = Math.max(highest, process.memoryUsage.rss())), 2);
  await work().finally(() => clearInterval(timer));
  return Math.max(highest, process.memoryUsage.rss()) - before;
}
