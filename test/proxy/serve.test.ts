import { chmod, mkdtemp, readFile, rm, stat, writeFile } from "node:fs/promises";
import { request as rawRequest } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { onTestFinished, describe, expect, test } from "vitest";
import { utf8 } from "../../src/evidence/bytes.ts";
import type { ProxyReply, ProxyRequest } from "../../src/proxy/proxy.ts";
import { readAsked } from "../../src/proxy/request.ts";
import { serveProxy, type ListenOptions, type ServedProxy } from "../../src/proxy/serve.ts";
import { bears, openToken } from "../../src/proxy/token.ts";
import { eventually } from "../support/eventually.ts";

const token = `p402_proxy_${"a".repeat(43)}`;

async function serve(
  answer: (request: ProxyRequest) => Promise<ProxyReply>,
  change: Partial<ListenOptions> = {},
): Promise<ServedProxy> {
  const served = await serveProxy(answer, {
    host: "127.0.0.1",
    port: 0,
    token,
    allowHosts: [],
    allowOrigins: [],
    ...change,
  });
  onTestFinished(() => served.stop());
  return served;
}

const fine = (): Promise<ProxyReply> => Promise.resolve({ status: 200, headers: {}, body: { fine: true } });

/** As `fetch` sets no host header, one is set here. */
function ask(
  base: string,
  headers: Record<string, string>,
  method = "GET",
  body = "",
): Promise<{ status: number; text: string }> {
  return new Promise((resolve, reject) => {
    const sent = rawRequest(`${base}/models`, { method, headers }, (response) => {
      const chunks: Buffer[] = [];
      response.on("data", (chunk: Buffer) => chunks.push(chunk));
      response.on("end", () => resolve({ status: response.statusCode ?? 0, text: Buffer.concat(chunks).toString() }));
    });
    sent.on("error", reject);
    sent.end(body);
  });
}

const authorization = `Bearer ${token}`;

describe("T140: what a page in a browser could send buys nothing", () => {
  test.each<[string, number, Record<string, string>]>([
    ["without the token", 401, {}],
    ["with another token", 401, { authorization: `Bearer ${token.slice(0, -1)}b` }],
    ["with the token under another scheme", 401, { authorization: token }],
    ["by a name that leads here (DNS rebinding)", 403, { authorization, host: "attacker.example" }],
    ["by this address on another port", 403, { authorization, host: "127.0.0.1:1" }],
    ["from a page's origin", 403, { authorization, origin: "https://attacker.example" }],
    ["from an opaque origin", 403, { authorization, origin: "null" }],
  ])("%s: %i", async (_, status, headers) => {
    let asked = 0;
    const served = await serve(() => {
      asked += 1;
      return fine();
    });
    const answer = await ask(served.baseUrl, headers);
    expect(answer.status).toBe(status);
    expect(JSON.parse(answer.text)).toMatchObject({ error: { code: "refused", money: "not-moved" } });
    expect(asked).toBe(0);
  });

  test("as a form that needs no permission: 415", async () => {
    const served = await serve(fine);
    const headers = { authorization, "content-type": "text/plain" };
    expect((await ask(served.baseUrl, headers, "POST", "{}")).status).toBe(415);
  });

  test("allowed hosts and origins are answered, and the listening names", async () => {
    const served = await serve(fine, { allowHosts: ["proxy.lan:80"], allowOrigins: ["http://ui.lan"] });
    const { port } = new URL(served.baseUrl);
    for (const host of [`localhost:${port}`, `127.0.0.1:${port}`, `[::1]:${port}`, "proxy.lan:80"])
      expect((await ask(served.baseUrl, { authorization, host, origin: "http://ui.lan" })).status).toBe(200);
  });

  test("a page of an allowed origin may ask first, and read the answer; one of another may not", async () => {
    let asked = 0;
    const answer = (): Promise<ProxyReply> => {
      asked += 1;
      return fine();
    };
    const { baseUrl } = await serve(answer, { allowOrigins: ["http://ui.lan"] });
    const preflight = (origin: string): Promise<Response> =>
      fetch(`${baseUrl}/chat/completions`, {
        method: "OPTIONS",
        headers: {
          origin,
          "access-control-request-method": "POST",
          "access-control-request-headers": "authorization,content-type",
        },
      });
    const allowed = await preflight("http://ui.lan");
    expect(allowed.status).toBe(204);
    expect(Object.fromEntries(allowed.headers)).toMatchObject({
      "access-control-allow-origin": "http://ui.lan",
      "access-control-allow-headers": "authorization,content-type",
      "access-control-allow-methods": "GET, POST",
      vary: "origin",
    });
    const other = await preflight("https://attacker.example");
    expect([other.status, other.headers.get("access-control-allow-origin")]).toEqual([403, null]);
    expect(asked).toBe(0);
    for (const [given, status] of [
      [{ authorization }, 200],
      [{}, 401],
    ] as const) {
      const read = await fetch(`${baseUrl}/models`, { headers: { origin: "http://ui.lan", ...given } });
      expect([read.status, read.headers.get("access-control-allow-origin")]).toEqual([status, "http://ui.lan"]);
    }
  });

  test("a body beyond the bound is refused before it is in", async () => {
    const served = await serve(fine);
    const headers = { authorization, "content-type": "application/json" };
    const answer = await fetch(`${served.baseUrl}/chat/completions`, {
      method: "POST",
      headers,
      body: "x".repeat(20_000_001),
    });
    expect(answer.status).toBe(413);
  });
});

test("a stream goes out as it comes, and a client that leaves is told to the call", async () => {
  let goOn = (): void => undefined;
  const left: boolean[] = [];
  const served = await serve(({ signal }) => {
    signal.addEventListener("abort", () => left.push(true));
    async function* body(): AsyncGenerator<string> {
      yield "data: 1\n\n";
      await new Promise<void>((resolve) => (goOn = resolve));
      yield "data: 2\n\n";
    }
    return Promise.resolve({ status: 200, headers: { "content-type": "text/event-stream" }, body: body() });
  });
  const read = async (): Promise<ReadableStreamDefaultReader<Uint8Array>> => {
    const answer = await fetch(`${served.baseUrl}/models`, { headers: { authorization } });
    return answer.body!.getReader();
  };
  const reader = await read();
  expect(Buffer.from((await reader.read()).value!).toString()).toBe("data: 1\n\n");
  goOn();
  expect(Buffer.from((await reader.read()).value!).toString()).toBe("data: 2\n\n");
  const leaving = await read();
  await leaving.read();
  await leaving.cancel();
  await eventually(() => expect(left).toEqual([true]));
  goOn();
});

test("stopping waits for the answers under way and takes no more", async () => {
  let goOn = (): void => undefined;
  const served = await serveProxy(
    () => new Promise((resolve) => (goOn = () => resolve({ status: 200, headers: {}, body: { late: true } }))),
    { host: "127.0.0.1", port: 0, token, allowHosts: [], allowOrigins: [] },
  );
  const answer = fetch(`${served.baseUrl}/models`, { headers: { authorization } });
  const before = goOn;
  await eventually(() => expect(goOn).not.toBe(before));
  const stopped = served.stop();
  await expect(fetch(`${served.baseUrl}/models`)).rejects.toThrow("fetch failed");
  goOn();
  expect(await (await answer).json()).toEqual({ late: true });
  await stopped;
});

describe("the token", () => {
  test("is made once, for its owner's eyes, and read again", async () => {
    const folder = await mkdtemp(join(tmpdir(), "proof402-proxy-"));
    onTestFinished(() => rm(folder, { recursive: true }));
    const file = join(folder, "proxy-token");
    const made = await openToken(file);
    expect(made).toMatch(/^p402_proxy_[\w-]{43}$/);
    expect((await stat(file)).mode & 0o777).toBe(0o600);
    expect(await openToken(file)).toBe(made);
    await chmod(file, 0o644);
    await expect(openToken(file)).rejects.toMatchObject({ code: "config_permissions" });
    await chmod(file, 0o600);
    await writeFile(file, "secret");
    await expect(openToken(file)).rejects.toMatchObject({ code: "file_unreadable" });
    expect(await readFile(file, "utf8")).toBe("secret");
  });

  test("is borne by one header alone", () => {
    expect(bears(token, `Bearer ${token}`)).toBe(true);
    expect(bears(token, `bearer  ${token}`)).toBe(true);
    for (const other of [undefined, "", "Bearer", `Basic ${token}`, `Bearer ${token}x`, `Bearer ${token} x`])
      expect(bears(token, other)).toBe(false);
  });
});

test("a tool's name stays here only beside the id of its call, which it repeats", () => {
  const result = { role: "tool", name: "get_price", content: "1" };
  const read = (message: object): unknown =>
    readAsked(utf8(JSON.stringify({ model: "m", messages: [message] })), "chat").input["messages"];
  expect(read(result)).toEqual([result]);
  expect(read({ ...result, tool_call_id: "c" })).toEqual([{ role: "tool", content: "1", tool_call_id: "c" }]);
});
