import { connect, createServer, type AddressInfo, type Server, type Socket } from "node:net";

/** A TCP line to a server, which can be cut. */
export type Line = {
  port: number;
  /** Breaks every connection on it, and lets none through for so long, ms. */
  cut(ms: number): void;
  stop(): Promise<void>;
};

/** Opens a line to a port of this machine. `join` passes on what comes at its two ends: all of it, unless a test says otherwise. */
export async function openLine(port: number, join: (near: Socket, far: Socket) => void = passAll): Promise<Line> {
  const sockets = new Set<Socket>();
  let openAt = 0;
  const server: Server = createServer((near) => {
    if (performance.now() < openAt) {
      near.destroy();
      return;
    }
    const far = connect(port, "127.0.0.1");
    for (const socket of [near, far]) {
      sockets.add(socket);
      socket.on("error", () => undefined);
      socket.once("close", () => {
        sockets.delete(socket);
        near.destroy();
        far.destroy();
      });
    }
    join(near, far);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    port: (server.address() as AddressInfo).port,
    cut(ms) {
      openAt = performance.now() + ms;
      for (const socket of sockets) socket.destroy();
    },
    stop: () =>
      new Promise((resolve) => {
        for (const socket of sockets) socket.destroy();
        server.close(() => resolve());
      }),
  };
}

function passAll(near: Socket, far: Socket): void {
  near.pipe(far);
  far.pipe(near);
}
