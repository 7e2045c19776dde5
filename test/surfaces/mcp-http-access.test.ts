import { createConnection } from "node:net";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { McpClient } from "../../mcp-server/http/access.ts";
import { createRoll } from "../../mcp-server/http/roll.ts";
import { serveMcpHttp, type ServedMcp } from "../../mcp-server/http/serve.ts";
import { tools } from "../../src/tools/index.ts";
import { bearer, clientNamed, connectOverHttp, eras, INITIALIZE, raw } from "../support/mcp-http.ts";

/** How often the buyer was wanted: what is refused runs nothing. */
let opened = 0;
const neverOpens = () => {
  opened += 1;
  return Promise.reject(new Error("no buyer here"));
};
let served: ServedMcp;
beforeAll(async () => {
  served = await serveMcpHttp(neverOpens, {
    clients: [clientNamed("desk"), clientNamed("reader", ["read"]), clientNamed("till", ["buy"])],
    allowOrigins: ["https://app.example"],
    sessions: { perClient: 3 },
  });
});
afterAll(() => served.stop());

const LIST = { jsonrpc: "2.0", id: 1, method: "tools/list" };
const call = (name: string) => ({ jsonrpc: "2.0", id: 2, method: "tools/call", params: { name, arguments: {} } });

async function session(name: string): Promise<{ headers: Record<string, string>; status: number }> {
  const { status, headers } = await raw(served.url, { headers: bearer(name), body: INITIALIZE });
  const id = headers["mcp-session-id"];
  return { status, headers: { ...bearer(name), ...(typeof id === "string" ? { "mcp-session-id": id } : {}) } };
}

test("no number of a call is rounded on its way to the buyer", async () => {
  const inputs: unknown[] = [];
  const buy = (_model: string, input: unknown): Promise<never> => {
    inputs.push(input);
    return Promise.reject(new Error("nothing is bought here"));
  };
  const exact = await serveMcpHttp(() => Promise.resolve({ buy, onReceipt: () => () => undefined } as never), {
    clients: [clientNamed("desk")],
  });
  const { headers } = await raw(exact.url, { headers: bearer("desk"), body: INITIALIZE });
  const body =
    '{"jsonrpc":"2.0","id":3,"method":"tools/call","params":{"name":"buy_inference","arguments":{"model":"m","input":{"wei":9007199254740993,"of":[1e999,0.5]}}}}';
  await raw(exact.url, { headers: { ...bearer("desk"), "mcp-session-id": String(headers["mcp-session-id"]) }, body });
  await exact.stop();
  expect(inputs).toEqual([{ wei: "9007199254740993", of: ["1e999", 0.5] }]);
});

test("T201: a client that was taken out, or has another budget, is refused at once, and what it had open ends", async () => {
  let now: readonly McpClient[] = [clientNamed("desk"), clientNamed("till"), clientNamed("auditor", ["read"])];
  const source = { isBroken: false };
  const changing = await serveMcpHttp(neverOpens, {
    clients: () => {
      if (source.isBroken) throw new Error("not now");
      return now;
    },
  });
  const { url } = changing;
  const opening = async (name: string): Promise<{ list: () => Promise<number>; stream: Promise<string> }> => {
    const { headers } = await raw(url, { headers: bearer(name), body: INITIALIZE });
    const own = { ...bearer(name), "mcp-session-id": String(headers["mcp-session-id"]) };
    return {
      list: async () => (await raw(url, { headers: own, body: LIST })).status,
      stream: fetch(url, { headers: { accept: "text/event-stream", ...own } })
        .then((answer) => answer.text())
        .then(
          () => "ended",
          () => "ended",
        ),
    };
  };
  const [desk, till, auditor] = [await opening("desk"), await opening("till"), await opening("auditor")];
  expect([await desk.list(), await till.list(), await auditor.list()]).toEqual([200, 200, 200]);
  now = [clientNamed("till", ["read", "buy"], { maxUsd: 1, per: "total" }), clientNamed("auditor", ["read"])];
  expect(await desk.list()).toBe(401);
  expect(await Promise.all([desk.stream, till.stream])).toEqual(["ended", "ended"]);
  expect([await till.list(), await auditor.list()]).toEqual([404, 200]);
  // Two of one name are none.
  const before = now;
  now = [...now, clientNamed("till")];
  expect(await auditor.list()).toBe(503);
  now = before;
  source.isBroken = true;
  expect(await auditor.list()).toBe(503);
  source.isBroken = false;
  expect(await auditor.list()).toBe(200);
  // It is back as another one: no session of before is its own.
  now = [...now, clientNamed("desk")];
  expect(await desk.list()).toBe(404);
  // Without a request, too.
  now = [];
  expect(await auditor.stream).toBe("ended");
  await changing.stop();
});

test("T201: a look at the clients that ends after a newer one lets none in again that the newer one left out", async () => {
  const looks: ((clients: readonly McpClient[]) => void)[] = [];
  const roll = createRoll(() => new Promise((resolve) => looks.push(resolve)));
  const [older, newer] = [roll.now(), roll.now()];
  looks[1]?.([clientNamed("till")]);
  const names = (clients: readonly McpClient[]): string[] => clients.map(({ name }) => name);
  expect(names(await newer)).toEqual(["till"]);
  looks[0]?.([clientNamed("till"), clientNamed("desk")]);
  expect(names(await older)).toEqual(["till"]);
  expect(roll.of(clientNamed("desk").tokenSha256)).toBeNull();
});

describe("a request that is not of this machine's own clients", () => {
  test.each(["evil.example", "127.0.0.1.evil.example", "127.0.0.1@evil.example", "localhost", ""])(
    "under the host %j is refused, with a token too",
    async (host) => {
      const named = host.includes("evil") ? `${host}:${new URL(served.url).port}` : host;
      const { status } = await raw(served.url, { headers: { ...bearer("desk"), host: named }, body: LIST });
      expect(status).toBe(named === "" ? 400 : 403);
      const metadata = await raw(served.url, {
        method: "GET",
        path: "/.well-known/oauth-protected-resource",
        headers: { host: "evil.example" },
      });
      expect(metadata.status).toBe(403);
    },
  );

  test.each(["https://evil.example", "null", "http://localhost:1", "https://app.example.evil.example"])(
    "from the origin %j is refused, and shared with no page",
    async (origin) => {
      for (const method of ["POST", "OPTIONS"]) {
        const answer = await raw(served.url, {
          method,
          headers: { ...bearer("desk"), origin, "access-control-request-method": "POST" },
          ...(method === "POST" ? { body: LIST } : {}),
        });
        expect(answer.status).toBe(403);
        expect(answer.headers["access-control-allow-origin"]).toBeUndefined();
      }
    },
  );

  test("of an allowed origin is answered, with a token only", async () => {
    const origin = "https://app.example";
    const asked = {
      origin,
      "access-control-request-method": "POST",
      "access-control-request-headers": "authorization",
    };
    const before = await raw(served.url, { method: "OPTIONS", headers: asked });
    expect([before.status, before.headers["access-control-allow-origin"]]).toEqual([204, origin]);
    expect((await raw(served.url, { headers: { origin }, body: LIST })).status).toBe(401);
    expect((await raw(served.url, { headers: { origin, ...bearer("desk") }, body: INITIALIZE })).status).toBe(200);
  });

  test.each(["text/plain", "application/x-www-form-urlencoded", "application/jsonp", ""])(
    "T200: with a body of type %j, as a form could send it, is refused",
    async (type) => {
      const { status } = await raw(served.url, { headers: { ...bearer("desk"), "content-type": type }, body: LIST });
      expect(status).toBe(415);
    },
  );

  test.each([
    {},
    { authorization: "Bearer " },
    bearer("nobody"),
    { authorization: "Basic dG9rZW4tb2YtZGVzaw==" },
    { authorization: "token-of-desk" },
  ])("with %j instead of a client's token is challenged, and told where the metadata is", async (headers) => {
    for (const body of [LIST, INITIALIZE, call("buy_inference")]) {
      const answer = await raw(served.url, { headers, body });
      expect(answer.status).toBe(401);
      const challenge = answer.headers["www-authenticate"] ?? "";
      expect(challenge).toMatch(/^Bearer .*scope="read buy"/);
      const at = /resource_metadata="([^"]+)"/.exec(challenge)?.[1] ?? "";
      const metadata = await raw(at, { method: "GET" });
      expect(metadata.json()).toMatchObject({ resource: served.url, scopes_supported: ["read", "buy"] });
    }
    expect((await raw(served.url, { method: "GET", headers })).status).toBe(401);
  });

  test("names the resource as the client named it", async () => {
    const { port } = new URL(served.url);
    const { headers } = await raw(served.url, { headers: { host: `localhost:${port}` }, body: LIST });
    expect(headers["www-authenticate"]).toContain(
      `"http://localhost:${port}/.well-known/oauth-protected-resource/mcp"`,
    );
  });
});

describe("scopes", () => {
  const READS = tools.filter(({ annotations }) => annotations.readOnlyHint).map(({ name }) => name);

  test.each(eras)("T200: are held to before anything runs, in %s", async (era) => {
    const before = opened;
    const meta = {
      "io.modelcontextprotocol/protocolVersion": "2026-07-28",
      "io.modelcontextprotocol/clientCapabilities": {},
      "io.modelcontextprotocol/clientInfo": { name: "test", version: "1" },
    };
    const ask = async (name: string, message: { method: string; params?: { name?: string } }) => {
      const headers = era === "2026-07-28" ? bearer(name) : (await session(name)).headers;
      const tool = message.params?.name;
      return raw(served.url, {
        headers: {
          ...headers,
          "mcp-protocol-version": era,
          ...(era === "2026-07-28"
            ? { "mcp-method": message.method, ...(tool === undefined ? {} : { "mcp-name": tool }) }
            : {}),
        },
        body: era === "2026-07-28" ? { ...message, params: { ...message.params, _meta: meta } } : message,
      });
    };
    for (const name of ["buy_inference", "no_such_tool"]) {
      const refused = await ask("reader", call(name));
      expect(refused.status).toBe(403);
      expect(refused.headers["www-authenticate"]).toMatch(/error="insufficient_scope", scope="buy"/);
    }
    for (const name of READS) expect((await ask("till", call(name))).status, name).toBe(403);
    for (const method of ["resources/list", "resources/read", "completion/complete", "prompts/get", "no/such"])
      expect((await ask("till", { ...LIST, method })).status, method).toBe(403);
    expect(opened).toBe(before);
    for (const name of ["reader", "till"]) expect((await ask(name, LIST)).status).toBe(200);
    expect((await ask("reader", call("spending"))).status).toBe(200);
    expect((await ask("till", call("buy_inference"))).status).toBe(200);
  });

  test("T200: cannot be got around by a batch", async () => {
    const { headers } = await session("reader");
    const batch = [LIST, call("spending"), call("buy_inference")];
    const answer = await raw(served.url, {
      headers: { ...headers, "mcp-protocol-version": "2025-03-26" },
      body: batch,
    });
    expect(answer.status).toBe(403);
  });
});

describe("a session", () => {
  test("T201: is its client's: another token finds none, whatever it asks", async () => {
    const { headers } = await session("desk");
    const id = headers["mcp-session-id"] ?? "";
    expect(id).not.toBe("");
    const others = { ...bearer("reader"), "mcp-session-id": id };
    for (const asked of [{ body: LIST }, { method: "GET", headers: { "last-event-id": "1" } }, { method: "DELETE" }]) {
      const answer = await raw(served.url, {
        ...asked,
        headers: { ...("headers" in asked ? asked.headers : {}), ...others },
      });
      expect(answer.status).toBe(404);
      const unknown = await raw(served.url, {
        ...asked,
        headers: { ...others, "mcp-session-id": crypto.randomUUID() },
      });
      expect(answer.text).toBe(unknown.text);
    }
    expect((await raw(served.url, { headers, body: LIST })).status).toBe(200);
  });

  test("T200: of many is bounded: the one unused for longest makes room, one in use does not", async () => {
    const streams: Promise<unknown>[] = [];
    const first = await session("till");
    const second = await session("till");
    const openedStream = raw(served.url, { method: "GET", headers: first.headers });
    streams.push(openedStream);
    await raw(served.url, { headers: second.headers, body: LIST });
    for (let at = 0; at < 40; at += 1) expect((await session("till")).status).toBe(200);
    expect((await raw(served.url, { headers: second.headers, body: LIST })).status).toBe(404);
    expect((await raw(served.url, { headers: first.headers, body: LIST })).status).toBe(200);
    // Another client's are untouched.
    const other = await session("desk");
    expect((await raw(served.url, { headers: other.headers, body: LIST })).status).toBe(200);
    expect((await raw(served.url, { method: "DELETE", headers: first.headers })).status).toBe(200);
    await Promise.all(streams);
    expect((await raw(served.url, { headers: first.headers, body: LIST })).status).toBe(404);
  });

  test("is needed by requests of 2025", async () => {
    expect((await raw(served.url, { headers: bearer("desk"), body: LIST })).status).toBe(400);
  });
});

describe("a body", () => {
  test("of 100 MB is refused by its announced length, and without one as it comes", async () => {
    const announced = await raw(served.url, {
      headers: { ...bearer("desk"), "content-length": "100000000" },
      body: "{",
    }).catch((error: unknown) => error);
    expect(announced).toMatchObject({ status: 413 });
    const { port } = new URL(served.url);
    const socket = createConnection(Number(port), "127.0.0.1");
    socket.on("error", () => undefined);
    let answer = "";
    socket.on("data", (chunk: Buffer) => (answer += chunk.toString()));
    socket.write(
      `POST /mcp HTTP/1.1\r\nhost: 127.0.0.1:${port}\r\nauthorization: Bearer token-of-desk\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n`,
    );
    const piece = `${(1_000_000).toString(16)}\r\n${" ".repeat(1_000_000)}\r\n`;
    const closed = new Promise((resolve) => socket.on("close", resolve));
    const drained = () => new Promise((resolve) => socket.once("drain", resolve));
    for (let sent = 0; sent < 100 && !socket.destroyed && answer === ""; sent += 1)
      if (!socket.write(piece)) await Promise.race([drained(), closed]);
    await closed;
    expect(answer).toMatch(/^HTTP\/1\.1 413 /);
  });

  test("of a stranger is not read", async () => {
    const answer = await raw(served.url, { headers: { "content-length": "100000000" }, body: "{" });
    expect([answer.status, answer.headers.connection]).toEqual([401, "close"]);
  });

  test.each([
    "",
    "{",
    "[",
    "7",
    '"x"',
    "null",
    "[]",
    "[[[[]]]]",
    '{"jsonrpc":"2.0"}',
    '{"jsonrpc":"2.0","id":{},"method":7}',
  ])("that is no message (%j) is refused as one", async (body) => {
    const { status } = await raw(served.url, { headers: bearer("desk"), body });
    expect(status).toBeGreaterThanOrEqual(400);
    expect(status).toBeLessThan(500);
  });
});

test.each(eras)(
  "a client of %s lists the tools without a buyer, and is told what is missing when it calls",
  async (era) => {
    const client = await connectOverHttp(served.url, "desk", era);
    expect((await client.listTools()).tools.map(({ name }) => name)).toEqual(tools.map(({ name }) => name));
    expect(await client.callTool({ name: "spending", arguments: {} })).toMatchObject({ isError: true });
    await client.close();
  },
);

test("clients that cannot be told apart are not served", async () => {
  const one = clientNamed("one");
  const two = clientNamed("two");
  for (const clients of [
    [one, { ...two, name: "one" }],
    [one, { ...two, tokenSha256: one.tokenSha256 }],
    [{ ...one, name: "a b" }],
    [{ ...one, tokenSha256: "ab" }],
  ])
    await expect(serveMcpHttp(() => Promise.reject(new Error("unused")), { clients })).rejects.toMatchObject({
      code: "invalid_input",
    });
});
