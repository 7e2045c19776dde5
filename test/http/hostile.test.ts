import { createServer as createTlsServer } from "node:https";
import { once } from "node:events";
import { createServer, type AddressInfo, type LookupFunction } from "node:net";
import { describe, expect, it } from "vitest";
import type { Http, HttpRequest, HttpResponse } from "../../src/http/client.ts";
import { client, closing, memoryGrowth, outcome, serve, serveFromProcess, serveRaw } from "./servers.ts";
import { selfSigned } from "./self-signed.ts";

const MB = 1_000_000;

describe("redirects", () => {
  it.each([300, 301, 302, 303, 304, 305, 306, 307, 308, 399])(
    "%i is an error and leads nowhere, with or without a location",
    async (status) => {
      const visited: string[] = [];
      const target = await serve((request, response) => {
        visited.push(request.url ?? "");
        response.end();
      });
      const { origin } = await serve((request, response) => {
        const location =
          request.url === "/bare" ? {} : { location: request.url === "/here" ? "/there" : `${target.origin}/stolen` };
        if (request.url === "/there") visited.push("/there");
        response.writeHead(status, location).end();
      });
      const http = client();
      for (const path of ["/away", "/here", "/bare"]) {
        const request = http.request({
          method: "POST",
          url: origin + path,
          headers: { "payment-signature": "signed" },
          body: new Uint8Array(3),
        });
        expect(await outcome(request)).toEqual({ code: "http_redirect_refused", requestSent: true });
      }
      expect(visited).toEqual([]);
    },
  );
});

describe("content encodings", () => {
  it.each(["gzip", "br", "deflate", "zstd", "x-gzip", "gzip, identity", "identity, gzip", "unknown"])(
    "%s is refused",
    async (encoding) => {
      const { origin } = await serve((_, response) =>
        response.writeHead(200, { "content-encoding": encoding }).end("abc"),
      );
      expect(await outcome(client().request({ method: "GET", url: origin }))).toEqual({
        code: "http_encoding_refused",
        requestSent: true,
      });
    },
  );

  it.each(["identity", "Identity"])("%s is none", async (encoding) => {
    const { origin } = await serve((_, response) =>
      response.writeHead(200, { "content-encoding": encoding }).end("abc"),
    );
    expect(Buffer.from((await client().request({ method: "GET", url: origin })).body).toString()).toBe("abc");
  });

  it("a gzip bomb of 200 MB costs next to nothing", async () => {
    const origin = await serveFromProcess(`
      const { createGzip } = require("node:zlib");
      const { Readable } = require("node:stream");
      const zeros = Buffer.alloc(1_000_000);
      require("node:http").createServer((request, response) => {
        response.on("error", () => undefined).writeHead(402, { "content-encoding": "gzip" });
        Readable.from(Array.from({ length: 200 }, () => zeros)).pipe(createGzip()).on("error", () => undefined).pipe(response);
      }).listen(0, "127.0.0.1", function () { console.log(this.address().port); });`);
    // The size limit is out of the way, so that only the encoding is in question.
    const http = client({ maxResponseBytes: 500 * MB });
    const growth = await memoryGrowth(async () => {
      expect((await outcome(http.request({ method: "GET", url: origin }))).code).toBe("http_encoding_refused");
    });
    expect(growth).toBeLessThan(30 * MB);
  });
});

describe("bodies made to hurt", () => {
  it("a body without end costs no more than the limit", async () => {
    const origin = await serveFromProcess(`
      const part = Buffer.alloc(100_000, 1);
      require("node:http").createServer((request, response) => {
        const more = () => { while (!response.destroyed && response.write(part)); };
        response.on("drain", more).on("error", () => undefined);
        more();
      }).listen(0, "127.0.0.1", function () { console.log(this.address().port); });`);
    const http = client({ maxResponseBytes: 4 * MB });
    const growth = await memoryGrowth(async () => {
      expect((await outcome(http.request({ method: "GET", url: origin }))).code).toBe("http_body_too_large");
    });
    expect(growth).toBeLessThan(40 * MB);
  });

  it("a body in chunks of one byte costs about its size", async () => {
    const origin = await serveFromProcess(`
      const part = Buffer.from("1\\r\\na\\r\\n".repeat(10_000));
      require("node:net").createServer((socket) => {
        let left = 100;
        const more = () => { while (left-- > 0 && socket.write(part)); if (left < 0) socket.end("0\\r\\n\\r\\n"); };
        socket.on("error", () => undefined).on("drain", more).once("data", () => {
          socket.write("HTTP/1.1 200 OK\\r\\ntransfer-encoding: chunked\\r\\n\\r\\n");
          more();
        });
      }).listen(0, "127.0.0.1", function () { console.log(this.address().port); });`);
    const http = client({ maxResponseBytes: 2 * MB });
    const growth = await memoryGrowth(async () => {
      expect((await http.request({ method: "GET", url: origin })).body).toHaveLength(MB);
    });
    expect(growth).toBeLessThan(60 * MB);
  });

  it("fewer bytes than announced are not an answer", async () => {
    const { origin } = await serveRaw((socket) => socket.end("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nshort"));
    const { code, requestSent } = await outcome(client().request({ method: "GET", url: origin }));
    expect(["http_malformed", "http_interrupted"]).toContain(code);
    expect(requestSent).toBe(true);
  });

  it("bytes beyond the announced length are not part of this answer, nor of the next", async () => {
    let asked = 0;
    const { origin } = await serveRaw((socket) => {
      asked += 1;
      const surplus = "HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nforged";
      socket.write(`HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\ntrue${asked === 1 ? surplus : ""}`);
    });
    const http = client();
    const bodies: string[] = [];
    for (let i = 0; i < 3; i += 1)
      bodies.push(Buffer.from((await http.request({ method: "GET", url: origin })).body).toString());
    expect(bodies).toEqual(["true", "true", "true"]);
  });

  it("an answer that nobody asked for closes the connection that it came on, and answers no later request", async () => {
    let asked = 0;
    let closed: Promise<unknown> | undefined;
    const { origin } = await serveRaw((socket) => {
      asked += 1;
      closed ??= once(socket, "close");
      const answer = "HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\ntrue";
      // In a later turn, when the client has read the first and waits for nothing.
      if (asked === 1) socket.write(answer, () => setImmediate(() => socket.write(answer.replace("true", "fake"))));
      else socket.write(answer);
    });
    const http = client();
    await http.request({ method: "GET", url: origin });
    await closed;
    const { body } = await http.request({ method: "POST", url: origin, paid: true, body: new Uint8Array(1) });
    expect(Buffer.from(body).toString()).toBe("true");
    expect(asked).toBe(2);
  });

  it.each(["HTTP/1.1 100 Continue\r\n\r\n", "HTTP/1.1 101 No\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n"])(
    "%j on a kept connection is malformed, and does not have the request sent again",
    async (odd) => {
      let asked = 0;
      const { origin } = await serveRaw((socket, head) => {
        if (head.startsWith("POST")) asked += 1;
        socket.write(`${head.startsWith("POST") ? odd : ""}HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n`);
      });
      const http = client();
      await http.request({ method: "GET", url: origin });
      const paid = http.request({ method: "POST", url: origin, paid: true, body: new Uint8Array(1) });
      expect(await outcome(paid)).toEqual({ code: "http_malformed", requestSent: true });
      expect(asked).toBe(1);
    },
  );

  it("two lengths, or a length and chunks, are not read by guessing", async () => {
    const { origin } = await serveRaw((socket, head) => {
      const second = head.startsWith("GET /two") ? "content-length: 4" : "transfer-encoding: chunked";
      socket.end(`HTTP/1.1 200 OK\r\ncontent-length: 3\r\n${second}\r\n\r\n0\r\n\r\n`);
    });
    const http = client();
    for (const path of ["/two", "/both"]) {
      expect(await outcome(http.request({ method: "GET", url: origin + path }))).toEqual({
        code: "http_malformed",
        requestSent: true,
      });
    }
  });

  it("chunks that end with the connection are not an answer", async () => {
    const { origin } = await serveRaw((socket) =>
      socket.end("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n"),
    );
    const { code, requestSent } = await outcome(client().request({ method: "GET", url: origin }));
    expect(["http_malformed", "http_interrupted"]).toContain(code);
    expect(requestSent).toBe(true);
  });

  it("a connection reset in the middle of a body is an error", async () => {
    const { origin } = await serveRaw((socket) => {
      socket.write("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf", () => socket.resetAndDestroy());
    });
    expect(await outcome(client().request({ method: "GET", url: origin }))).toEqual({
      code: "http_interrupted",
      requestSent: true,
    });
  });

  it.each([
    ["no HTTP", "SSH-2.0-OpenSSH_9.6\r\n"],
    ["a status beyond 599", "HTTP/1.1 999 No\r\ncontent-length: 0\r\n\r\n"],
    ["a chunk size that is no number", "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n"],
    ["a negative length", "HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n"],
    ["a length no machine can hold", "HTTP/1.1 200 OK\r\ncontent-length: 99999999999999999999999\r\n\r\n"],
    ["a header without a colon", "HTTP/1.1 200 OK\r\nnonsense\r\n\r\n"],
  ])("%s is refused as malformed", async (_, answer) => {
    const { origin } = await serveRaw((socket) => socket.end(answer));
    expect(await outcome(client().request({ method: "GET", url: origin }))).toEqual({
      code: "http_malformed",
      requestSent: true,
    });
  });

  it("an upgrade nobody asked for is refused", async () => {
    const { origin } = await serveRaw((socket) =>
      socket.end("HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n"),
    );
    expect((await outcome(client().request({ method: "GET", url: origin }))).requestSent).toBe(true);
  });
});

describe("T55: a connection that breaks under a payment", () => {
  /** A server that answers each GET and breaks under each POST until it has seen `breaks` of them; what payments it saw. */
  async function breaking(breaks: number): Promise<{ origin: string; paid: string[]; sockets: () => number }> {
    const paid: string[] = [];
    const seen = new Set<unknown>();
    const { origin } = await serveRaw((socket, head) => {
      seen.add(socket);
      if (head.startsWith("POST")) paid.push(/payment-signature: (\S+)/.exec(head)?.[1] ?? "");
      if (head.startsWith("GET") || paid.length > breaks) socket.write("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
      else if (paid.length % 2 === 1) socket.destroy();
      else socket.resetAndDestroy();
    });
    return { origin, paid, sockets: () => seen.size };
  }
  const pay = (http: Http, origin: string, payment: string, more: Partial<HttpRequest> = {}): Promise<HttpResponse> =>
    http.request({
      method: "POST",
      url: origin,
      headers: { "payment-signature": payment },
      body: new Uint8Array(10),
      ...more,
    });

  it("and was kept from an earlier request: the same bytes go out once more, on a new one", async () => {
    const { origin, paid, sockets } = await breaking(1);
    const http = client();
    await http.request({ method: "GET", url: origin });
    expect(await pay(http, origin, "kept")).toMatchObject({ status: 200 });
    expect(paid).toEqual(["kept", "kept"]);
    expect(sockets()).toBe(2);
  });

  it("is replaced once at most, and one that is new never", async () => {
    const { origin, paid } = await breaking(Infinity);
    const http = client();
    await http.request({ method: "GET", url: origin });
    for (const call of ["kept", "new"])
      expect(await outcome(pay(http, origin, call))).toEqual({ code: "http_interrupted", requestSent: true });
    expect(paid).toEqual(["kept", "kept", "new"]);
  });

  it.each([
    ["its body", "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf"],
    ["its head", "HTTP/1.1 200 OK\r\ncontent-le"],
  ])("after the beginning of %s came is not replaced", async (_of, beginning) => {
    const paid: string[] = [];
    const { origin } = await serveRaw((socket, head) => {
      if (head.startsWith("GET")) {
        socket.write("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
        return;
      }
      paid.push(head);
      // Ended and not reset: the system keeps what was sent for the reader.
      socket.end(beginning);
    });
    const http = client();
    await http.request({ method: "GET", url: origin });
    expect(await outcome(pay(http, origin, "kept"))).toEqual({ code: "http_interrupted", requestSent: true });
    expect(paid).toHaveLength(1);
  });

  it("and cannot be replaced because the server is gone still says that the request was sent", async () => {
    const server = createServer((socket) => {
      socket
        .on("error", () => undefined)
        .on("data", (data: Buffer) => {
          if (data.toString().startsWith("GET")) socket.write("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
          else {
            server.close();
            socket.destroy();
          }
        });
    });
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    const origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    const http = client();
    await http.request({ method: "GET", url: origin });
    expect(await outcome(pay(http, origin, "kept"))).toEqual({ code: "http_interrupted", requestSent: true });
  });
});

describe("addresses of this machine and its network", () => {
  it.each([
    "http://127.0.0.1/",
    "http://127.1/",
    "http://0x7f.0.0.1/",
    "http://2130706433/",
    "http://0177.0.0.1/",
    "http://127.0.0.1./",
    "http://１２７.0.0.1/",
    "http://0/",
    "http://10.0.0.1/",
    "http://169.254.169.254/latest/meta-data/",
    "http://192.168.1.1/",
    "http://[::1]/",
    "http://[::]/",
    "http://[::ffff:127.0.0.1]/",
    "http://[64:ff9b::a9fe:a9fe]/",
    "http://[2002:7f00:1::]/",
    "http://[fd00:ec2::254]/",
    "https://[fe80::1]/",
  ])("%s is refused before anything connects", async (url) => {
    const http = client({ allowPrivateAddresses: false });
    expect(await outcome(http.request({ method: "GET", url }))).toEqual({
      code: "http_address_refused",
      requestSent: false,
    });
  });

  it("the literal of a listening server is refused, and the server hears nothing", async () => {
    const { origin, sockets } = await serve((_, response) => response.end());
    const http = client({ allowPrivateAddresses: false });
    expect((await outcome(http.request({ method: "GET", url: origin }))).code).toBe("http_address_refused");
    expect((await outcome(http.request({ method: "GET", url: origin.replace("127.0.0.1", "localhost") }))).code).toBe(
      "http_address_refused",
    );
    expect(sockets.size).toBe(0);
  });

  it.each([
    ["a private one", [{ address: "127.0.0.1", family: 4 }]],
    [
      "a public one and a private one",
      [
        { address: "8.8.8.8", family: 4 },
        { address: "10.1.2.3", family: 4 },
      ],
    ],
    ["a mapped one", [{ address: "::ffff:127.0.0.1", family: 6 }]],
    ["none", []],
    ["no address at all", [{ address: "localhost", family: 4 }]],
  ])("a name that resolves to %s is refused", async (_, addresses) => {
    const { origin, sockets } = await serve((_, response) => response.end());
    const lookup: LookupFunction = (_host, _options, callback) => callback(null, addresses);
    const http = client({ allowPrivateAddresses: false }, { lookup });
    const url = `http://seller.example:${new URL(origin).port}/`;
    expect(await outcome(http.request({ method: "GET", url }))).toEqual({
      code: "http_address_refused",
      requestSent: false,
    });
    expect(sockets.size).toBe(0);
  });

  it("the address connected to is the one that was checked: a name is resolved once per connection", async () => {
    const { origin } = await serve((request, response) => response.end(request.headers.host));
    const { port } = new URL(origin);
    const asked: string[] = [];
    const lookup: LookupFunction = (host, _options, callback) => {
      asked.push(host);
      callback(null, [{ address: "127.0.0.1", family: 4 }]);
    };
    const http = client({}, { lookup });
    for (let i = 0; i < 2; i += 1) {
      const { body } = await http.request({ method: "GET", url: `http://seller.example:${port}/` });
      expect(Buffer.from(body).toString()).toBe(`seller.example:${port}`);
    }
    expect(asked).toEqual(["seller.example"]);
  });

  it("an answer that turns private between two connections is refused", async () => {
    const { origin } = await serve((_, response) => response.setHeader("connection", "close").end("ok"));
    let answers = 0;
    const lookup: LookupFunction = (_host, _options, callback) => {
      answers += 1;
      callback(
        null,
        answers === 1
          ? [
              { address: "8.8.8.8", family: 4 },
              { address: "127.0.0.1", family: 4 },
            ]
          : [{ address: "127.0.0.1", family: 4 }],
      );
    };
    const http = client({ allowPrivateAddresses: false }, { lookup });
    for (let i = 0; i < 2; i += 1) {
      expect(
        (await outcome(http.request({ method: "GET", url: `http://seller.example:${new URL(origin).port}/` }))).code,
      ).toBe("http_address_refused");
    }
    expect(answers).toBe(2);
  });
});

describe("URLs and certificates", () => {
  it.each([
    "ftp://seller.example/",
    "file:///etc/passwd",
    "data:text/plain,a",
    "http://user@seller.example/",
    "https://a:b@seller.example/",
    "seller.example",
    "",
    "http://",
    "javascript:1",
  ])("%j is not requested", async (url) => {
    expect(await outcome(client().request({ method: "GET", url }))).toEqual({
      code: "http_url_refused",
      requestSent: false,
    });
  });

  it("a certificate nobody vouches for is refused before a byte is sent, whatever the environment says", async () => {
    const heard: string[] = [];
    const server = createTlsServer(await selfSigned(), (request, response) => {
      heard.push(request.url ?? "");
      response.end();
    }).listen(0, "127.0.0.1");
    await once(server, "listening");
    closing(() => new Promise((resolve) => server.close(resolve)));
    const { port } = server.address() as AddressInfo;
    process.env["NODE_TLS_REJECT_UNAUTHORIZED"] = "0";
    try {
      const request = client().request({ method: "POST", url: `https://127.0.0.1:${port}/`, body: new Uint8Array(1) });
      expect(await outcome(request)).toEqual({ code: "http_unreachable", requestSent: false });
    } finally {
      delete process.env["NODE_TLS_REJECT_UNAUTHORIZED"];
    }
    expect(heard).toEqual([]);
  });
});
