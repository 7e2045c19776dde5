// A TCP proxy that holds every chunk back for half a round-trip time in each direction, as a long line does.
// Arguments: port of the server on this machine, round-trip time in ms. Prints its own port.
import { connect, createServer, type AddressInfo, type Socket } from "node:net";

const [port, roundTripMs] = process.argv.slice(2).map(Number);
if (port === undefined || roundTripMs === undefined) throw new Error("usage: delay-proxy PORT ROUND_TRIP_MS");

const carry = (from: Socket, to: Socket): void => {
  from.setNoDelay(true);
  from.on("data", (chunk) => setTimeout(() => to.write(chunk), roundTripMs / 2));
  from.on("end", () => setTimeout(() => to.end(), roundTripMs / 2));
  from.on("error", () => to.destroy());
};

const server = createServer((near) => {
  const far = connect(port, "127.0.0.1");
  carry(near, far);
  carry(far, near);
});
server.listen(0, "127.0.0.1", () => process.stdout.write(`${(server.address() as AddressInfo).port}\n`));
