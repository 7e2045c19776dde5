import { createServer as createPlainServer } from "node:http";
import { createServer } from "node:https";
import { readFile } from "node:fs/promises";
import { serve, type ServerType } from "@hono/node-server";
import { parseUnits } from "../chain/amounts.ts";
import { Proof402Error } from "../errors.ts";
import { descriptionsIn, readSecret, type NodeConfig } from "./config.ts";
import { createInferenceNode, createProver, createSigner, readCompiled, type NodeProving } from "./index.ts";

/** One thing that happened, for a log of lines. */
export type NodeEvent =
  | { event: "listening"; address: string; models: string[]; keyId: string }
  | { event: "request"; method: string; path: string; status: number; milliseconds: number }
  | { event: "stopping"; underWay: number }
  | { event: "stopped" };

/** A node on its socket. */
export type ServedNode = {
  address: string;
  /** Takes no more requests, finishes those under way, hands on what is not on chain yet, and ends. */
  stop(): Promise<void>;
};

/**
 * Runs a node as its configuration says. Throws Proof402Error as `createInferenceNode`, `port_taken`, `config_permissions`,
 * `file_unreadable`, or `signing_key_invalid`.
 */
export async function serveNode(config: NodeConfig, log: (event: NodeEvent) => void): Promise<ServedNode> {
  const { payment, listen, limits } = config;
  const { facilitatorTokenFile, decimals, ...rest } = payment;
  const [pem, token, tls] = await Promise.all([
    readSecret(config.signingKeyFile, "signingKeyFile"),
    facilitatorTokenFile === undefined ? undefined : readSecret(facilitatorTokenFile, "payment.facilitatorTokenFile"),
    tlsOf(listen),
  ]);
  const signer = await createSigner(pem);
  const proving = await provingOf(config);
  const end = async (): Promise<void> => proving?.prover.close();
  try {
    const node = await createInferenceNode({
      descriptions: descriptionsIn(config),
      models: config.models.map(({ name, price, rows }) => ({
        name,
        price: String(parseUnits(price, decimals) ?? 0n),
        rows,
      })),
      payment: {
        ...rest,
        facilitatorToken: token?.trim(),
      },
      enclave: null,
      signer,
      proving: proving ?? undefined,
      records: { database: config.database, keepSeconds: config.keepSeconds },
    });
    let underWay = 0;
    let stopping: Promise<void> | null = null;
    const answer = async (request: Request): Promise<Response> => {
      if (request.method === "POST" && underWay >= limits.atOnce)
        return Response.json({ error: "too many requests at once" }, { status: 503, headers: { "retry-after": "1" } });
      underWay += 1;
      try {
        const response = await node.fetch(request);
        // A connection that is kept would keep the process.
        if (stopping !== null) response.headers.set("connection", "close");
        return response;
      } finally {
        underWay -= 1;
      }
    };
    const fetch = async (request: Request): Promise<Response> => {
      const from = performance.now();
      const response = await answer(request);
      const { pathname } = new URL(request.url);
      const milliseconds = Math.round(performance.now() - from);
      log({
        event: "request",
        method: request.method,
        path: pathname.slice(0, 200),
        status: response.status,
        milliseconds,
      });
      return response;
    };
    const { server, address } = await open(fetch, listen, tls).catch(async (error: unknown) => {
      await node.close();
      throw error;
    });
    log({ event: "listening", address, models: config.models.map(({ name }) => name), keyId: signer.keyId });
    const stop = async (): Promise<void> => {
      log({ event: "stopping", underWay });
      await new Promise<void>((done) => server.close(() => done()));
      await node.close();
      await end();
      log({ event: "stopped" });
    };
    return { address, stop: () => (stopping ??= stop()) };
  } catch (error) {
    await end();
    throw error;
  }
}

type Listen = NodeConfig["listen"];
type Tls = { cert: string; key: string } | null;

async function tlsOf({ tls }: Listen): Promise<Tls> {
  if (tls === undefined) return null;
  const cert = await readFile(tls.certificateFile, "utf8").catch((cause: unknown) => {
    throw new Proof402Error(
      "file_unreadable",
      `${tls.certificateFile} (listen.tls.certificateFile) could not be read.`,
      {
        next: "Correct listen.tls.certificateFile in the configuration.",
        cause,
      },
    );
  });
  return { cert, key: await readSecret(tls.keyFile, "listen.tls.keyFile") };
}

/** What proves the answers of the models that have a folder of proving files, or null. */
async function provingOf({ models }: NodeConfig): Promise<NodeProving | null> {
  const proved = await Promise.all(
    models.flatMap(({ name, provingFolder }) =>
      provingFolder === undefined ? [] : [readCompiled(provingFolder, name).then((files) => [name, files] as const)],
    ),
  );
  return proved.length === 0 ? null : { prover: createProver(), models: Object.fromEntries(proved) };
}

function open(
  fetch: (request: Request) => Promise<Response>,
  { host, port }: Listen,
  tls: Tls,
): Promise<{ server: ServerType; address: string }> {
  return new Promise((resolve, reject) => {
    const made = tls === null ? { createServer: createPlainServer } : { createServer, serverOptions: tls };
    const server: ServerType = serve({ fetch, hostname: host, port, ...made }, (info) => {
      const name = host.includes(":") ? `[${host}]` : host;
      resolve({ server, address: `${tls === null ? "http" : "https"}://${name}:${info.port}` });
    });
    server.once("error", (error: NodeJS.ErrnoException) => {
      reject(
        error.code === "EADDRINUSE"
          ? new Proof402Error("port_taken", `Port ${port} is taken (listen.port).`, {
              next: "Choose another in listen.port.",
              cause: error,
            })
          : error,
      );
    });
  });
}
