import { once } from "node:events";
import type { Socket } from "node:net";
import { describe, expect, it, vi } from "vitest";
import { client, failure, serve, serveRaw } from "./servers.ts";

const answer = (body: string): string => `HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\n${body}`;

describe("a connection that is opened ahead", () => {
  it("carries the next request, and no request opens another", async () => {
    const { origin, sockets } = await serve((_, response) => response.end("ok"));
    const http = client();
    http.open(origin);
    http.open(`${origin}/twice`);
    await vi.waitFor(() => expect(sockets.size).toBe(1));
    const [ahead] = sockets;
    for (const path of ["/a", "/b"]) {
      expect((await http.request({ method: "GET", url: `${origin}${path}` })).status).toBe(200);
      expect([...sockets]).toEqual([ahead]);
    }
  });

  it("that nobody took when it failed ends nothing, and the next request says why", async () => {
    // Nothing listens on port 1.
    const origin = "http://127.0.0.1:1";
    const http = client();
    http.open(origin);
    // A second client's refusal comes after that of the first.
    expect((await failure(client().request({ method: "GET", url: origin }))).code).toBe("http_unreachable");
    expect((await failure(http.request({ method: "GET", url: origin }))).code).toBe("http_unreachable");
  });

  it("is taken while it is on its way", async () => {
    const { origin, sockets } = await serve((_, response) => response.end("ok"));
    const http = client();
    http.open(origin);
    expect((await http.request({ method: "GET", url: origin })).status).toBe(200);
    expect(sockets.size).toBe(1);
  });

  it("is not opened where one is free already, and is where the one there is is busy", async () => {
    let release = (): void => undefined;
    const asked: unknown[] = [];
    const { origin, sockets } = await serve((request, response) => {
      asked.push(request.url);
      if (request.url === "/slow") release = () => void response.end("ok");
      else response.end("ok");
    });
    const http = client();
    await http.request({ method: "GET", url: origin });
    http.open(origin);
    const slow = http.request({ method: "GET", url: `${origin}/slow` });
    await vi.waitFor(() => expect(asked).toEqual(["/", "/slow"]));
    http.open(origin);
    await vi.waitFor(() => expect(sockets.size).toBe(2));
    await http.request({ method: "GET", url: origin });
    expect(sockets.size).toBe(2);
    release();
    expect((await slow).status).toBe(200);
  });

  it.each([
    ["closes it", (socket: Socket) => socket.end()],
    ["answers on it before it is asked", (socket: Socket) => socket.write(answer("fake"))],
  ])("is closed and replaced where its server %s", async (_what, act) => {
    const opened: Socket[] = [];
    const { origin } = await serveRaw(
      (socket) => socket.write(answer("true")),
      (socket) => opened.push(socket),
    );
    const http = client();
    // The time that it waits never ends here: nothing else closes it.
    vi.useFakeTimers({ toFake: ["setTimeout"] });
    http.open(origin);
    vi.useRealTimers();
    await vi.waitFor(() => expect(opened).toHaveLength(1));
    const closed = once(opened[0]!, "close");
    act(opened[0]!);
    await closed;
    const { body } = await http.request({ method: "POST", url: origin, paid: true, body: new Uint8Array(1) });
    expect(Buffer.from(body).toString()).toBe("true");
    expect(opened).toHaveLength(2);
  });

  it("is refused an address as a request is, and shows no failure of its own", async () => {
    const { origin, sockets } = await serve((_, response) => response.end("ok"));
    const guarded = client({ allowPrivateAddresses: false });
    for (const address of [origin, "ftp://127.0.0.1", "no address", ""]) guarded.open(address);
    expect((await failure(guarded.request({ method: "GET", url: origin }))).code).toBe("http_address_refused");
    expect(sockets.size).toBe(0);
    const http = client();
    http.open("http://127.0.0.1:1");
    expect((await failure(http.request({ method: "GET", url: "http://127.0.0.1:1" }))).code).toBe("http_unreachable");
  });

  it("ends with the client", async () => {
    const { origin, sockets } = await serve((_, response) => response.end("ok"));
    const http = client();
    http.open(origin);
    await vi.waitFor(() => expect(sockets.size).toBe(1));
    await http.close();
    await vi.waitFor(() => expect(sockets.size).toBe(0));
  });
});
