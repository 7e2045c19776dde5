// By its file: under the bare name Bun hands out an imitation that opens connections unseen.
import { Agent, Client, Pool, type buildConnector, type Dispatcher } from "undici/index.js";
import { certificateOf, type Certificate } from "./certificate.ts";

/** A request that asks for the server's identity once its connection is known. */
export type AskingRequest = Dispatcher.DispatchOptions & {
  /** Gets the reader of the certificate of the request's connection. It is open when the request starts. */
  onConnection: (certificate: () => Certificate) => void;
};

/** What is used of an agent. */
export type AskableAgent = {
  dispatch(request: AskingRequest, handler: Dispatcher.DispatchHandler): boolean;
  /** Tells whether an open connection to an origin waits for a request. */
  hasFree(origin: string): boolean;
  destroy(): Promise<void>;
};

type Options = Omit<Agent.Options, "factory" | "connect"> & { connect: buildConnector.connector };

/**
 * An agent whose requests can read the certificate of their very connection, kept from earlier or new. A client of
 * undici's has one connection at a time, so each has its own connector, which notes the certificate.
 */
export function createAgent(options: Options): AskableAgent {
  const pools = new Map<string, Pool>();
  const agent = new Agent({
    ...options,
    factory: (origin) => {
      const pool = new Pool(origin, { ...options, factory: (to) => askable(to, options) });
      pools.set(new URL(origin).origin, pool);
      return pool;
    },
  });
  return {
    dispatch: (request, handler) => agent.dispatch(request, handler),
    hasFree: (origin) => (pools.get(origin)?.stats.free ?? 0) > 0,
    destroy: () => agent.destroy(),
  };
}

function askable(origin: URL, { connect, ...options }: Options): Client {
  let certificate: Certificate = null;
  const client = new Client(origin, {
    ...options,
    connect: (target, callback) =>
      connect(target, (...result) => {
        certificate = certificateOf(result[1]);
        callback(...result);
      }),
  });
  const dispatch = client.dispatch.bind(client);
  client.dispatch = (request, handler) => {
    if ("onConnection" in request) (request as AskingRequest).onConnection(() => certificate);
    return dispatch(request, handler);
  };
  return client;
}
