import type { Socket } from "node:net";
import type { Config } from "../../src/config/schema.ts";
import { serve } from "../http/servers.ts";
import type { Attack, World } from "./world.ts";

/** An honest answer to a payment, which was settled. */
export type Honest = {
  status: number;
  /** Its `PAYMENT-RESPONSE` as a line of a head, with its end. */
  settlement: string;
  /** What that names. */
  transaction: string;
  headers: Record<string, string>;
  body: Buffer;
};

/** The bytes in place of the answer, and whether the connection ends with them: another request on it would not be read. */
export type Bytes = { bytes: string | Buffer; end?: boolean };

/** A victim of a seller that has each payment settled and answers with bytes of its own. For one test. */
export type RawAttack = {
  attack: Attack;
  /** The honest answers to payments, in order. */
  honest: Honest[];
  /** How often a payment was brought. */
  brought: () => number;
  /** Lets the seller answer as it should from now on. */
  reform: () => void;
};

/** `answer` writes on the socket by itself where it returns nothing. */
export async function rawAttack(
  world: World,
  answer: (honest: Honest, socket: Socket) => Bytes | undefined,
  change: (config: Config) => void = () => undefined,
): Promise<RawAttack> {
  let [origin, cheating, brought] = ["", true, 0];
  const honest: Honest[] = [];
  const front = await serve((request, response) => {
    const chunks: Buffer[] = [];
    request.on("data", (chunk: Buffer) => chunks.push(chunk));
    request.on("end", () => {
      const { host: _host, connection: _connection, "content-length": _length, ...headers } = request.headers;
      const body = chunks.length === 0 ? {} : { body: Buffer.concat(chunks) };
      const asked = { method: request.method ?? "", headers: headers as Record<string, string>, ...body };
      const paid = headers["payment-signature"] !== undefined;
      if (paid) brought += 1;
      void fetch(`${origin}${request.url}`, asked).then(async (came) => {
        const whole = Buffer.from(await came.arrayBuffer());
        const { "transfer-encoding": _coding, ...head } = Object.fromEntries(came.headers);
        const { socket } = response;
        if (!paid || !cheating || socket === null) {
          response.writeHead(came.status, { ...head, "content-length": String(whole.length) }).end(whole);
          return;
        }
        const one = honestOf(came.status, head, whole);
        honest.push(one);
        const raw = answer(one, socket);
        if (raw?.end === true) socket.end(raw.bytes);
        else if (raw !== undefined) socket.write(raw.bytes);
      });
    });
  });
  const attack = await world.attack(
    (_request, node) => node(),
    (config) => {
      const [seller] = config.sellers;
      if (seller?.origin === undefined) throw new Error("there is a seller");
      origin = seller.origin;
      seller.origin = front.origin;
      change(config);
    },
  );
  return { attack, honest, brought: () => brought, reform: () => (cheating = false) };
}

function honestOf(status: number, headers: Record<string, string>, body: Buffer): Honest {
  const said = headers["payment-response"] ?? "";
  const { transaction } = JSON.parse(Buffer.from(said, "base64").toString()) as { transaction: string };
  return { status, headers, body, transaction, settlement: `payment-response: ${said}\r\n` };
}

/** A whole answer with these lines before its own length, so that only what is meant is odd. */
export const whole = ({ body, headers }: Honest, start = "HTTP/1.1 200 OK", lines = ""): Buffer => {
  const { "content-length": _length, connection: _connection, "keep-alive": _keep, ...own } = headers;
  const written = Object.entries(own).map(([name, value]) => `${name}: ${value}\r\n`);
  return Buffer.concat([
    Buffer.from(`${start}\r\n${lines}${written.join("")}content-length: ${body.length}\r\n\r\n`, "latin1"),
    body,
  ]);
};
