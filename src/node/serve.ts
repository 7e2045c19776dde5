import { X509Certificate } from "node:crypto";
import type { HttpBindings } from "@hono/node-server";
import { parseUnits } from "../chain/amounts.ts";
import { openAnchoring } from "./anchor.ts";
import type { NodeAnchoring } from "./batches.ts";
import { descriptionsIn, readSecret, type NodeConfig } from "./config.ts";
import { countRequests, type Counted } from "./counted.ts";
import {
  createInferenceNode,
  createProver,
  createSigner,
  readCompiled,
  type InferenceNode,
  type NodeProving,
} from "./index.ts";
import { cdpTokens, readCdpKey } from "./cdp-token.ts";
import type { NodePayment } from "./payment.ts";
import { createNitroEnclave } from "./nitro-enclave.ts";
import type { Enclave } from "./enclave.ts";
import type { Signer } from "./signer.ts";
import { createMetrics, type Metrics } from "./metrics.ts";
import type { Observe } from "./observe.ts";
import { clientOf, openRateLimit } from "./rate-limit.ts";
import { facilitatorTimeoutMs } from "./payment-gate.ts";
import { openSocket, readTls, type OpenSocket } from "./socket.ts";

/** One thing that happened, for a log of lines. */
export type NodeEvent =
  | { event: "listening"; address: string; models: string[]; keyId: string; metrics?: string }
  | { event: "request"; method: string; path: string; status: number; milliseconds: number }
  /** A row of the database that cannot be read. It stays there, and the node goes on without it. */
  | { event: "row_set_aside"; shelf: string; id: string }
  | { event: "stopping"; underWay: number }
  | { event: "stopped" };

type Log = (event: NodeEvent) => void;

/** A node on its socket. */
export type ServedNode = {
  address: string;
  /**
   * Takes no more requests, finishes those under way, hands on what is not on chain yet, and ends. A body has seconds to
   * come whole, paid work as long as a settlement takes. With `now` nothing is waited for; records are closed still.
   */
  stop(now?: "now"): Promise<void>;
};

/** A body's time to come whole when the node stops. */
const STOP_BODY_MS = 3_000;
/** What a paid call takes besides two waits for its facilitator and one for the chain: verifying, the model, the answer. */
const WORK_MS = 60_000;

/**
 * Runs a node as its configuration says. Throws Proof402Error as `createInferenceNode`, `port_taken`, `config_permissions`,
 * `file_unreadable`, or `signing_key_invalid`.
 */
export async function serveNode(config: NodeConfig, log: Log): Promise<ServedNode> {
  const { listen, limits, origin, payment } = config;
  const tls = await readTls(listen);
  const metrics = config.metrics === undefined ? null : await createMetrics();
  const { node, ready } = await openNode(config, (seen) => {
    if (seen.kind === "set_aside") log({ event: "row_set_aside", shelf: seen.shelf, id: seen.id });
    metrics?.observe(seen);
  });
  const closing = [() => node.close()];
  try {
    const { atOnce, perAddress } = limits;
    const limit = perAddress === undefined ? null : await openRateLimit(perAddress);
    const waits: Parameters<typeof countRequests>[1]["waits"] = async (incoming) =>
      (await limit?.(clientOf(incoming, listen.behindProxy))) ?? null;
    const counted = countRequests(node.fetch, {
      atOnce,
      origin,
      waits,
      hasTaken: (payment) => node.hasTaken(payment),
    });
    const gauges = { inFlight: () => counted.underWay(), proofsPending: () => node.pendingProofs() };
    const counts = (await metrics?.serve(config.metrics?.port ?? 0, gauges)) ?? null;
    if (counts !== null) closing.unshift(() => counts.stop());
    const socket = await openSocket(told(counted.fetch, log, metrics), listen, { tls });
    const { address } = socket;
    log({
      event: "listening",
      address,
      models: node.models.map(({ name }) => name),
      keyId: node.keyId ?? "",
      ...(counts === null ? {} : { metrics: counts.address }),
    });
    await ready();
    const workMs = WORK_MS + 3 * facilitatorTimeoutMs(payment.waitSeconds ?? 0);
    return { address, stop: stopping({ close: () => each(closing), counted, socket, workMs, log }) };
  } catch (error) {
    await each(closing);
    throw error;
  }
}

/** Closes one after the other, each in any case. */
async function each([first, ...rest]: readonly (() => Promise<void>)[]): Promise<void> {
  try {
    await first?.();
  } finally {
    if (rest.length > 0) await each(rest);
  }
}

type Opened = { node: InferenceNode; ready: () => Promise<void> };

/** The node of a configuration. Its `close` ends the prover, too. */
async function openNode(config: NodeConfig, observe: Observe): Promise<Opened> {
  const { payment, database, keepSeconds, limits } = config;
  const { facilitatorTokenFile: _file, facilitatorKey: _key, decimals, ...rest } = payment;
  const [keys, facilitatorToken, anchoring] = await Promise.all([
    keysOf(config),
    tokenOf(payment),
    anchoringOf(config),
  ]);
  const proving = await provingOf(config);
  const endProver = async (): Promise<void> => proving?.prover.close();
  try {
    const node = await createInferenceNode({
      descriptions: descriptionsIn(config),
      models: config.models.map(({ name, price, rows }) => ({
        name,
        price: String(parseUnits(price, decimals) ?? 0n),
        rows,
      })),
      payment: { ...rest, facilitatorToken },
      ...keys,
      proving: proving ?? undefined,
      anchoring,
      records: { database, keepSeconds },
      mcp: config.mcp,
      perPayer: limits.perPayer,
      observe,
    });
    return {
      node: { ...node, close: () => each([() => node.close(), endProver]) },
      ready: () => keys.enclave?.ready?.() ?? Promise.resolve(),
    };
  } catch (error) {
    await endProver();
    throw error;
  }
}

/** What the facilitator is shown with each request. */
async function tokenOf({
  facilitatorTokenFile,
  facilitatorKey,
}: NodeConfig["payment"]): Promise<NodePayment["facilitatorToken"]> {
  if (facilitatorTokenFile !== undefined)
    return (await readSecret(facilitatorTokenFile, "payment.facilitatorTokenFile")).trim();
  if (facilitatorKey === undefined) return undefined;
  const { file, variables } = facilitatorKey;
  if (file !== undefined) return cdpTokens(readCdpKey(await readSecret(file, "payment.facilitatorKey.file")));
  const { id = "", secret = "" } = variables ?? {};
  return cdpTokens({ id: process.env[id] ?? "", secret: process.env[secret] ?? "" });
}

async function anchoringOf({ anchoring }: NodeConfig): Promise<NodeAnchoring | undefined> {
  if (anchoring === undefined) return undefined;
  return openAnchoring(anchoring, (await readSecret(anchoring.keyFile, "anchoring.keyFile")).trim());
}

/** The enclave or the key that signs the answers. */
async function keysOf({
  signingKeyFile,
  enclave,
  listen,
}: NodeConfig): Promise<{ enclave: Enclave } | { enclave: null; signer: Signer }> {
  if (enclave === undefined)
    return { enclave: null, signer: await createSigner(await readSecret(signingKeyFile ?? "", "signingKeyFile")) };
  const tls = enclave.nitriding === undefined ? await readTls(listen) : null;
  const tlsCertificate = tls === null ? undefined : new Uint8Array(new X509Certificate(tls.cert).raw);
  const nitro = await createNitroEnclave({ ...enclave, tlsCertificate });
  return { enclave: nitro };
}

/** The prover of models with a folder of proving files, or null. */
async function provingOf({ models }: NodeConfig): Promise<NodeProving | null> {
  const proved = await Promise.all(
    models.flatMap(({ name, provingFolder }) =>
      provingFolder === undefined ? [] : [readCompiled(provingFolder, name).then((files) => [name, files] as const)],
    ),
  );
  return proved.length === 0 ? null : { prover: createProver(), models: Object.fromEntries(proved) };
}

/** Logs and counts each request, with the time until its response. */
const told =
  (fetch: Counted["fetch"], log: Log, metrics: Metrics | null) =>
  async (request: Request, env: HttpBindings): Promise<Response> => {
    const from = performance.now();
    const response = await fetch(request, env);
    const milliseconds = Math.round(performance.now() - from);
    const path = new URL(request.url).pathname.slice(0, 200);
    metrics?.responded(request, response.status);
    log({ event: "request", method: request.method, path, status: response.status, milliseconds });
    return response;
  };

type Running = { close: () => Promise<void>; counted: Counted; socket: OpenSocket; workMs: number; log: Log };

/** Stops once, however often it is asked. */
function stopping({ close, counted, socket, workMs, log }: Running): ServedNode["stop"] {
  const hurry = new AbortController();
  let ending: Promise<void> | null = null;
  const stop = async (): Promise<void> => {
    log({ event: "stopping", underWay: counted.underWay() });
    const ended = new Promise<void>((done) => socket.server.close(() => done()));
    try {
      await counted.drain({ bodiesMs: STOP_BODY_MS, workMs, hurry: hurry.signal });
      for (const one of socket.sockets) one.destroy();
      await ended;
    } finally {
      await close();
    }
    log({ event: "stopped" });
  };
  return (now) => {
    if (now !== undefined) hurry.abort();
    return (ending ??= stop());
  };
}
