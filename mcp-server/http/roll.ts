import { Proof402Error } from "proof402/tools";
import type { McpClient } from "./access.ts";

/** Programs that may call: always the same, or as they are when asked. Asked before each request, so it has to be quick. */
export type McpClients = readonly McpClient[] | (() => readonly McpClient[] | Promise<readonly McpClient[]>);

/** The clients of one server. */
export type Roll = {
  /**
   * The clients as they are now. Ends all that a removed client has open, and one with other scopes or another budget. Throws the
   * source's errors, and Proof402Error `invalid_input` for clients of one name or token. Then no client is let in.
   */
  now(): Promise<readonly McpClient[]>;
  /** The client of a token that was let in. */
  of(tokenSha256: string): McpClient | null;
  /** Has `end` called once this client is no more as it was. Returns a way to forget it. */
  whileKnown(client: McpClient, end: () => void): () => void;
};

type Known = { client: McpClient; ends: Set<() => void> };

export function createRoll(source: McpClients): Roll {
  let seen: readonly McpClient[] | null = null;
  let known = new Map<string, Known>();
  // A look that began before the newest one taken tells of the past, and could let a removed client in again.
  let [looks, taken] = [0, 0];

  const take = (clients: readonly McpClient[]): void => {
    if (clients === seen) return;
    requireClients(clients);
    const before = known;
    known = new Map(
      clients.map((client) => {
        const same = before.get(client.tokenSha256);
        const isSame = same !== undefined && JSON.stringify(same.client) === JSON.stringify(client);
        return [client.tokenSha256, isSame ? same : { client, ends: new Set() }];
      }),
    );
    seen = clients;
    for (const [token, one] of before) if (known.get(token) !== one) for (const end of one.ends) end();
  };

  return {
    async now() {
      looks += 1;
      const look = looks;
      const clients = typeof source === "function" ? await source() : source;
      if (look > taken) {
        taken = look;
        take(clients);
      }
      return [...known.values()].map(({ client }) => client);
    },
    of: (tokenSha256) => known.get(tokenSha256)?.client ?? null,
    whileKnown(client, end) {
      const one = known.get(client.tokenSha256);
      if (one?.client !== client) end();
      else one.ends.add(end);
      return () => void one?.ends.delete(end);
    },
  };
}

/** One name is one budget, and one token one client. */
function requireClients(clients: readonly McpClient[]): void {
  const isEach = (key: "name" | "tokenSha256", form: RegExp): boolean =>
    clients.every((one) => form.test(one[key])) && new Set(clients.map((one) => one[key])).size === clients.length;
  if (isEach("name", /^[A-Za-z0-9._-]{1,64}$/) && isEach("tokenSha256", /^[0-9a-f]{64}$/)) return;
  throw new Proof402Error("invalid_input", "A client's name or token hash is malformed or given twice.", {
    next: "Give each client a name of its own, of 1 to 64 letters, digits, dots, dashes or underscores, and the SHA-256 of its own token in 64 lower-case hex digits.",
  });
}
