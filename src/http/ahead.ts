import type { Socket } from "node:net";
import type { buildConnector } from "undici";

/** Opens connections before the requests that use them are ready. */
export type Ahead = {
  /** Hands over the connection that was opened ahead to this place, else opens one. */
  connect: buildConnector.connector;
  /** Opens one connection, unless one waits already. A failure shows at the request, which tries itself. */
  open(url: URL): void;
  /** Closes the connections that wait. */
  close(): void;
};

/** How long a connection waits for its request, ms. Servers keep an unused one about as long. */
const WAIT_MS = 4000;

/** A connection on its way or ready. `taken` gets the outcome of one on its way, `stop` closes it and forgets it. */
type Opening = {
  socket: Socket | null;
  taken: buildConnector.Callback | null;
  timer: NodeJS.Timeout;
  stop: () => void;
};

export function createAhead(connect: buildConnector.connector): Ahead {
  const openings = new Map<string, Opening>();

  /** Takes an opening out: from here on it is its taker's. */
  const take = (place: string): Opening | undefined => {
    const opening = openings.get(place);
    openings.delete(place);
    clearTimeout(opening?.timer);
    if (opening !== undefined) opening.socket?.removeListener("readable", opening.stop);
    return opening;
  };

  const abandon = (place: string): void => {
    const opening = take(place);
    if (opening === undefined) return;
    opening.socket?.destroy();
    // A connection that opens after that is of no use.
    opening.taken = (_error, socket) => void socket?.destroy();
  };

  return {
    connect(target, callback) {
      const opening = take(`${target.protocol}//${target.host}`);
      const socket = opening?.socket ?? null;
      if (opening !== undefined && socket === null) opening.taken = callback;
      // The client expects no answer before this returns.
      else if (socket !== null && isUnused(socket)) queueMicrotask(() => callback(null, socket));
      else {
        socket?.destroy();
        connect(target, callback);
      }
    },
    open({ protocol, host, hostname, port, origin: place }) {
      if (openings.has(place)) return;
      const stop = (): void => abandon(place);
      const timer = setTimeout(stop, WAIT_MS);
      timer.unref();
      const opening: Opening = { socket: null, taken: null, timer, stop };
      openings.set(place, opening);
      connect({ protocol, host, hostname: hostname.replace(/^\[|\]$/g, ""), port }, (...result) => {
        const [, socket] = result;
        if (opening.taken !== null) opening.taken(...result);
        // Undefined, in spite of the type, if it failed: an exception here would end the process.
        else if (socket == null) take(place);
        // A server that closes it, or speaks before it is asked, says nothing that answers a request.
        else opening.socket = socket.once("readable", stop);
      });
    },
    close() {
      for (const { stop } of openings.values()) stop();
    },
  };
}

/** Tells whether a connection is open and brought nothing. */
const isUnused = ({ readyState, readableLength }: Socket): boolean => readyState === "open" && readableLength === 0;
