import type { LookupFunction } from "node:net";
import { createAhead, type Ahead } from "./ahead.ts";
import { createConnector, type Connector } from "./connector.ts";
import { MAX_HEADER_BYTES } from "./errors.ts";
import { createAgent, type AskableAgent } from "./peer.ts";

/** The connections of requests with one trust in common. */
export type Way = {
  /** Connections kept from earlier. */
  kept: AskableAgent;
  /** A connection of its own for each request. */
  fresh: AskableAgent;
  connector: Connector;
  ahead: Ahead;
};

/** Ways by the certificate that stands in for the authorities; undefined for the authorities themselves. */
export type Ways = { of(pin: string | undefined): Way; close(): Promise<void> };

type Options = {
  allowPrivateAddresses: boolean;
  connectSeconds: number;
  idleSeconds: number;
  lookup?: LookupFunction;
  ca?: string;
};

/** Opens a way at its first use. A connection never passes from one to another: none is trusted for another one's reason. */
export function createWays(options: Options): Ways {
  const ways = new Map<string | undefined, Way>();
  const open = (pin: string | undefined): Way => {
    const connector = createConnector({ ...options, pin });
    const ahead = createAhead(connector.connect);
    const agentOf = (pipelining: 0 | 1, { connect }: Pick<Connector, "connect">): AskableAgent =>
      createAgent({
        connect,
        headersTimeout: options.idleSeconds * 1000,
        bodyTimeout: options.idleSeconds * 1000,
        maxHeaderSize: MAX_HEADER_BYTES,
        // Applies where a server announces no time of its own.
        keepAliveTimeout: 30_000,
        pipelining,
      });
    // Without pipelining, each request has a connection of its own.
    return { kept: agentOf(1, ahead), fresh: agentOf(0, connector), connector, ahead };
  };
  return {
    of(pin) {
      const way = ways.get(pin) ?? open(pin);
      ways.set(pin, way);
      return way;
    },
    async close() {
      for (const { ahead } of ways.values()) ahead.close();
      await Promise.all([...ways.values()].flatMap(({ kept, fresh }) => [kept.destroy(), fresh.destroy()]));
    },
  };
}
