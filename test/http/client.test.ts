import { createHash } from "node:crypto";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { Http } from "../../src/http/client.ts";
import { VERSION } from "../../src/version.ts";
import { eventually } from "../support/eventually.ts";
import { client, failure, outcome, serve, serveRaw } from "./servers.ts";

const bytes = (...values: number[]): Uint8Array => new Uint8Array(values);

describe("what is sent and received", () => {
  it("request and response bytes are exact", async () => {
    const { origin } = await serve((request, response) => {
      void request.toArray().then((chunks) => response.end(Buffer.concat(chunks as Buffer[])));
    });
    const http = client();
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ maxLength: 100_000, size: "max" }), async (body) => {
        const { body: echoed } = await http.request({ method: "POST", url: `${origin}/echo?a=b`, body });
        expect(Buffer.from(echoed).equals(body)).toBe(true);
      }),
      { numRuns: 25 },
    );
  });

  it("method, path, query, headers and body reach the server as given", async () => {
    const { origin, port } = await serve((request, response) => {
      const { method, url, headers } = request;
      void request.toArray().then((chunks) => {
        response.end(JSON.stringify({ method, url, headers, body: Buffer.concat(chunks as Buffer[]).toString("hex") }));
      });
    });
    const { body } = await client().request({
      method: "POST",
      url: `${origin}/v2/models/a%20b/infer?x=1`,
      headers: { "Content-Type": "application/json", "payment-signature": "abc" },
      body: bytes(0, 255, 10),
    });
    expect(JSON.parse(Buffer.from(body).toString())).toEqual({
      method: "POST",
      url: "/v2/models/a%20b/infer?x=1",
      headers: {
        host: `127.0.0.1:${port}`,
        connection: "keep-alive",
        "user-agent": `proof402/${VERSION}`,
        "content-type": "application/json",
        "payment-signature": "abc",
        "accept-encoding": "identity",
        "content-length": "3",
      },
      body: "00ff0a",
    });
  });

  it("asks for no compression, whatever its caller says", async () => {
    const { origin } = await serve((request, response) => response.end(JSON.stringify(request.rawHeaders)));
    const { body } = await client().request({ method: "GET", url: origin, headers: { "Accept-Encoding": "gzip" } });
    const raw = JSON.parse(Buffer.from(body).toString()) as string[];
    expect(raw.filter((_, index) => raw[index - 1]?.toLowerCase() === "accept-encoding")).toEqual(["identity"]);
  });

  it("header names come back in lower case, repeated headers joined", async () => {
    const { origin } = await serve((_, response) => {
      response
        .writeHead(402, { "X-Tee-Id": "0xAB", "Set-Cookie": ["a=1", "b=2"], "Payment-Required": "e30=" })
        .end("{}");
    });
    const { status, headers } = await client().request({ method: "GET", url: origin });
    expect(status).toBe(402);
    expect(headers).toMatchObject({ "x-tee-id": "0xAB", "set-cookie": "a=1, b=2", "payment-required": "e30=" });
  });

  it.each([200, 204, 400, 402, 404, 429, 500, 503])("status %i is an answer, not an error", async (status) => {
    const { origin } = await serve((_, response) => response.writeHead(status).end());
    expect((await client().request({ method: "GET", url: origin })).status).toBe(status);
  });

  it("interim responses are passed over", async () => {
    const { origin } = await serve((_, response) => {
      response.writeEarlyHints({ link: "</a.css>; rel=preload", "content-encoding": "gzip" });
      response.end("answer");
    });
    const { status, body } = await client().request({ method: "GET", url: origin });
    expect([status, Buffer.from(body).toString()]).toEqual([200, "answer"]);
  });

  it("the bytes of a body are told as they come, and those of a coded one or beyond the limit are not", async () => {
    let goOn: (() => void) | undefined;
    const { origin } = await serve((request, response) => {
      const coded = request.url === "/coded" ? { "content-encoding": "gzip" } : {};
      response.writeHead(200, coded).write("first ");
      goOn = () => void response.end("second");
    });
    const told: string[] = [];
    const ask = (path: string, maxBytes = 100): ReturnType<Http["request"]> =>
      client().request({
        method: "POST",
        url: origin + path,
        paid: true,
        maxBytes,
        onHead: () => void told.push("head "),
        onBody(chunk) {
          told.push(Buffer.from(chunk).toString());
          goOn?.();
        },
      });
    const { body } = await ask("/");
    expect(told.splice(0)).toEqual(["head ", "first ", "second"]);
    expect(Buffer.from(body).toString()).toBe("first second");
    expect(await ask("/", 8)).toMatchObject({ cut: "too_large" });
    expect(told.splice(0)).toEqual(["head ", "first "]);
    const coded = ask("/coded");
    await eventually(() => expect(told).toEqual(["head "]));
    goOn?.();
    expect((await coded).coding).toMatchObject({ name: "gzip" });
    expect(told).toEqual(["head "]);
  });

  it("one connection serves one request after another", async () => {
    const ports = new Set<number | undefined>();
    const { origin } = await serve((request, response) => {
      ports.add(request.socket.remotePort);
      response.end("ok");
    });
    const http = client();
    for (let i = 0; i < 5; i += 1) await http.request({ method: "GET", url: `${origin}/${i}` });
    expect(ports.size).toBe(1);
  });

  it("answers to requests in parallel are not mixed up", async () => {
    const { origin } = await serve((request, response) =>
      response.end(
        createHash("sha256")
          .update(request.url ?? "")
          .digest("hex"),
      ),
    );
    const http = client();
    const paths = Array.from({ length: 50 }, (_, index) => `/${index}`);
    const answers = await Promise.all(paths.map((path) => http.request({ method: "GET", url: origin + path })));
    expect(answers.map(({ body }) => Buffer.from(body).toString())).toEqual(
      paths.map((path) => createHash("sha256").update(path).digest("hex")),
    );
  });

  it("proxies in the environment play no part", async () => {
    const proxied: string[] = [];
    const proxy = await serve((request, response) => {
      proxied.push(request.url ?? "");
      response.end("proxy");
    });
    const { origin } = await serve((_, response) => response.end("seller"));
    const before = { ...process.env };
    Object.assign(process.env, {
      http_proxy: proxy.origin,
      HTTP_PROXY: proxy.origin,
      ALL_PROXY: proxy.origin,
      NO_PROXY: "",
    });
    try {
      const { body } = await client().request({ method: "GET", url: origin });
      expect(Buffer.from(body).toString()).toBe("seller");
      expect(proxied).toEqual([]);
    } finally {
      process.env = before;
    }
  });
});

describe("sizes", () => {
  it("a body of exactly the limit is read, one byte more is refused, with and without content-length", async () => {
    const { origin } = await serve((request, response) => {
      const [, size, framing] = (request.url ?? "").split("/");
      if (framing === "length") response.setHeader("content-length", Number(size));
      response.end(Buffer.alloc(Number(size), 7));
    });
    const http = client({ maxResponseBytes: 50_000 });
    for (const framing of ["length", "chunked"]) {
      expect((await http.request({ method: "GET", url: `${origin}/50000/${framing}` })).body).toHaveLength(50_000);
      expect(await outcome(http.request({ method: "GET", url: `${origin}/50001/${framing}` }))).toEqual({
        code: "http_body_too_large",
        requestSent: true,
      });
    }
  });

  it("a call may tighten the limit and cannot widen it", async () => {
    const { origin } = await serve((_, response) => response.end(Buffer.alloc(2000)));
    const http = client({ maxResponseBytes: 1500 });
    const codes = await Promise.all(
      [1000, 3000].map((maxBytes) => outcome(http.request({ method: "GET", url: origin, maxBytes }))),
    );
    expect(codes.map(({ code }) => code)).toEqual(["http_body_too_large", "http_body_too_large"]);
    expect(
      (await client({ maxResponseBytes: 5000 }).request({ method: "GET", url: origin, maxBytes: 2000 })).body,
    ).toHaveLength(2000);
  });

  it("an announced length over the limit is refused before any body is there", async () => {
    const { origin } = await serveRaw((socket) =>
      socket.write("HTTP/1.1 200 OK\r\ncontent-length: 99999999999\r\n\r\n"),
    );
    expect(await outcome(client().request({ method: "GET", url: origin }))).toEqual({
      code: "http_body_too_large",
      requestSent: true,
    });
  });

  it("one large header, many small headers, and headers without end are cut off", async () => {
    const { origin } = await serveRaw((socket, head) => {
      socket.write("HTTP/1.1 200 OK\r\n");
      if (head.startsWith("GET /one")) socket.write(`x: ${"a".repeat(40_000)}\r\n\r\n`);
      if (head.startsWith("GET /many")) socket.write(`${"a: b\r\n".repeat(20_000)}\r\n`);
      if (head.startsWith("GET /endless")) {
        const more = (): void =>
          void (socket.destroyed || (socket.write("header: value\r\n".repeat(100)), setImmediate(more)));
        more();
      }
    });
    const http = client();
    for (const path of ["/one", "/many", "/endless"]) {
      expect(await outcome(http.request({ method: "GET", url: origin + path }))).toEqual({
        code: "http_headers_too_large",
        requestSent: true,
      });
    }
  });
});

describe("time", () => {
  it("a server that says nothing at all is given up", async () => {
    const { origin } = await serveRaw(() => undefined);
    expect(await outcome(client({ idleSeconds: 1 }).request({ method: "GET", url: origin }))).toEqual({
      code: "http_timeout",
      requestSent: true,
    });
  });

  it("a server that falls silent in the middle of a header or a body is given up", async () => {
    const { origin } = await serveRaw((socket, head) => {
      socket.write(
        head.startsWith("GET /head")
          ? "HTTP/1.1 200 OK\r\nx-half"
          : "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf",
      );
    });
    const http = client({ idleSeconds: 1 });
    const codes = await Promise.all(
      ["/head", "/body"].map((path) => outcome(http.request({ method: "GET", url: origin + path }))),
    );
    expect(codes).toEqual([
      { code: "http_timeout", requestSent: true },
      { code: "http_timeout", requestSent: true },
    ]);
  });

  it("a body that brings a byte at a time is given up at the idle limit, one that comes in slow pieces is read", async () => {
    const { origin } = await serveRaw((socket, head) => {
      const piece = head.startsWith("GET /slow") ? "x".repeat(1000) : "x";
      let left = 12;
      socket.write("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n");
      const timer = setInterval(() => {
        left -= head.startsWith("GET /slow") ? 1 : 0;
        socket.write(left === 0 ? "0\r\n\r\n" : `${piece.length.toString(16)}\r\n${piece}\r\n`);
      }, 200);
      socket.on("close", () => clearInterval(timer));
    });
    const http = client({ idleSeconds: 1, totalSeconds: 60 });
    const [drip, slow] = [
      outcome(http.request({ method: "GET", url: `${origin}/drip` })),
      http.request({ method: "GET", url: `${origin}/slow` }),
    ];
    expect(await drip).toEqual({ code: "http_timeout", requestSent: true });
    expect((await slow).body).toHaveLength(11_000);
  });

  it("bytes that drip steadily, in body, header or interim responses, do not outlast the total time", async () => {
    const { origin } = await serveRaw((socket, head) => {
      const [start, drop] = head.startsWith("GET /body")
        ? ["HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n", "1\r\na\r\n"]
        : head.startsWith("GET /head")
          ? ["HTTP/1.1 200 OK\r\n", "a: b\r\n"]
          : ["", "HTTP/1.1 103 Early Hints\r\n\r\n"];
      socket.write(start);
      const timer = setInterval(() => socket.write(drop), 10);
      socket.on("close", () => clearInterval(timer));
    });
    const http = client();
    for (const path of ["/body", "/head", "/interim"]) {
      const request = http.request({ method: "GET", url: origin + path, totalMs: 300 });
      expect(await outcome(request)).toEqual({ code: "http_timeout", requestSent: true });
    }
    expect(await outcome(client({ totalSeconds: 1 }).request({ method: "GET", url: `${origin}/body` }))).toEqual({
      code: "http_timeout",
      requestSent: true,
    });
  });

  it("a call cannot stretch the total time", async () => {
    const { origin } = await serveRaw(() => undefined);
    const request = client({ totalSeconds: 1 }).request({ method: "GET", url: origin, totalMs: 3_600_000 });
    expect((await outcome(request)).code).toBe("http_timeout");
  });

  it("a name that never resolves is given up, and nothing was sent", async () => {
    const options = { lookup: () => undefined };
    const limited = client({ connectSeconds: 1 }, options).request({ method: "GET", url: "http://seller.example/" });
    expect(await outcome(limited)).toEqual({ code: "http_timeout", requestSent: false });
    const capped = client({}, options).request({ method: "GET", url: "http://seller.example/", totalMs: 50 });
    expect(await outcome(capped)).toEqual({ code: "http_timeout", requestSent: false });
  });
});

describe("stopping", () => {
  it("an aborted signal stops the request before, while connecting and while reading", async () => {
    const { origin, sockets } = await serveRaw((socket) =>
      socket.write("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf"),
    );
    const http = client({ idleSeconds: 3600, totalSeconds: 3600 });
    expect(await outcome(http.request({ method: "GET", url: origin, signal: AbortSignal.abort() }))).toEqual({
      code: "http_aborted",
      requestSent: false,
    });
    expect(sockets.size).toBe(0);

    const connecting = new AbortController();
    const lookup = (): void => connecting.abort();
    const unresolved = client({}, { lookup }).request({
      method: "GET",
      url: "http://seller.example/",
      signal: connecting.signal,
    });
    expect(await outcome(unresolved)).toEqual({ code: "http_aborted", requestSent: false });

    const reading = new AbortController();
    const { origin: slow, sockets: open } = await serveRaw((socket) => {
      socket.write("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf", () => reading.abort());
    });
    expect(await outcome(http.request({ method: "GET", url: slow, signal: reading.signal }))).toEqual({
      code: "http_aborted",
      requestSent: true,
    });
    // The connection is given up with the request.
    await Promise.all([...open].map((socket) => new Promise((resolve) => socket.on("close", resolve))));
  });

  it("a request that was aborted while connecting is not sent once the connection stands", async () => {
    const heads: string[] = [];
    const { origin } = await serveRaw((socket, head) => {
      heads.push(head.split(" ")[1] ?? "");
      socket.end("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
    });
    const abort = new AbortController();
    const url = new URL(origin);
    const http = client(
      {},
      {
        lookup: (_host, _options, callback) => {
          abort.abort();
          setImmediate(() => callback(null, [{ address: "127.0.0.1", family: 4 }]));
        },
      },
    );
    const request = http.request({
      method: "POST",
      url: `http://seller.example:${url.port}/aborted`,
      signal: abort.signal,
    });
    expect(await outcome(request)).toEqual({ code: "http_aborted", requestSent: false });
    await http.request({ method: "GET", url: `http://seller.example:${url.port}/next` });
    expect(heads).toEqual(["/next"]);
  });

  it("closing the client ends requests under way, and no new one starts", async () => {
    let reached: () => void = () => undefined;
    const arrived = new Promise<void>((resolve) => (reached = resolve));
    const { origin } = await serveRaw(() => reached());
    const http = client();
    const pending = outcome(http.request({ method: "GET", url: origin }));
    await arrived;
    await http.close();
    expect(await pending).toEqual({ code: "http_aborted", requestSent: true });
    expect(await outcome(http.request({ method: "GET", url: origin }))).toEqual({
      code: "http_aborted",
      requestSent: false,
    });
  });
});

describe("failures say what failed and nothing else", () => {
  it("no error carries path, query, headers or body", async () => {
    const { origin } = await serveRaw((socket, head) => {
      if (head.includes("/reset")) socket.resetAndDestroy();
      else if (head.includes("/redirect"))
        socket.end("HTTP/1.1 302 Found\r\nlocation: /s3cret\r\ncontent-length: 0\r\n\r\n");
      else if (head.includes("/garbage")) socket.end("s3cret s3cret\r\n\r\n");
      else if (head.includes("/gzip")) socket.end("HTTP/1.1 200 OK\r\ncontent-encoding: s3cret\r\n\r\n");
      else if (head.includes("/large")) socket.end("HTTP/1.1 200 OK\r\ncontent-length: 9999999\r\n\r\n");
    });
    const http = client();
    const paths = ["/reset", "/redirect", "/garbage", "/gzip", "/silent", "/large"];
    const requests = paths.map((path) =>
      failure(
        http.request({
          method: "POST",
          url: `${origin}${path}/s3cret?token=s3cret`,
          headers: { "payment-signature": "s3cret" },
          body: Buffer.from("s3cret"),
          totalMs: 2000,
        }),
      ),
    );
    const invalid = failure(
      http.request({ method: "GET", url: `${origin}/?s3cret`, headers: { "payment-signature": "s3cret\r\n" } }),
    );
    const errors = await Promise.all([...requests, invalid]);
    expect(errors.map(({ code }) => code)).toEqual([
      "http_interrupted",
      "http_redirect_refused",
      "http_malformed",
      "http_encoding_refused",
      "http_timeout",
      "http_body_too_large",
      "http_request_invalid",
    ]);
    for (const error of errors) {
      expect(
        [error.message, error.next, error.stack, JSON.stringify(error.details), String(error.cause)].join("\n"),
      ).not.toContain("s3cret");
      // What became of the money is said by the purchase that the error ends.
      expect(error.money).toBeUndefined();
    }
  });

  it("no connection means that nothing was sent", async () => {
    const { origin, sockets } = await serveRaw(() => undefined);
    const { port } = new URL(origin);
    expect(sockets.size).toBe(0);
    const lookup = (
      _host: string,
      _options: unknown,
      callback: (error: Error, address: string, family: number) => void,
    ): void => callback(Object.assign(new Error("no such host"), { code: "ENOTFOUND" }), "", 0);
    expect(
      await outcome(client({}, { lookup }).request({ method: "GET", url: `http://nowhere.example:${port}/` })),
    ).toEqual({
      code: "http_unreachable",
      requestSent: false,
    });
    // Port 1 is reserved (tcpmux): nothing listens there.
    expect(await outcome(client().request({ method: "GET", url: "http://127.0.0.1:1/" }))).toEqual({
      code: "http_unreachable",
      requestSent: false,
    });
  });
});
