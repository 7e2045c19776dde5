import { once } from "node:events";
import { createServer, type Server } from "node:https";
import type { AddressInfo, Socket } from "node:net";
import { beforeAll, describe, expect, it } from "vitest";
import { sha256, toHex } from "../../src/evidence/bytes.ts";
import { selfSigned } from "./self-signed.ts";
import { client, closing, outcome, serve } from "./servers.ts";

type Certificate = Awaited<ReturnType<typeof selfSigned>>;
let [a, b, c]: Certificate[] = [];
beforeAll(async () => {
  [a, b, c] = await Promise.all([selfSigned(), selfSigned(), selfSigned()]);
});
const digestOf = (one: Certificate | undefined): string => toHex(sha256(one?.der ?? new Uint8Array()));
const trusted = (): { ca: string } => ({ ca: [a, b, c].map((one) => one?.cert ?? "").join("") });

/** A TLS server that shows this certificate until it is given another; what it heard, by connection. */
async function listen(shown: Certificate | undefined): Promise<{ server: Server; url: string; heard: number[] }> {
  const sockets: Socket[] = [];
  const heard: number[] = [];
  const server = createServer({ key: shown?.key, cert: shown?.cert }, (request, response) => {
    if (!sockets.includes(request.socket)) sockets.push(request.socket);
    heard.push(sockets.indexOf(request.socket));
    response.end("answer");
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  closing(() => {
    server.closeAllConnections();
    return new Promise((resolve) => server.close(resolve));
  });
  return { server, heard, url: `https://127.0.0.1:${(server.address() as AddressInfo).port}/` };
}

describe("T81: the certificate of a connection", () => {
  it("is told with each answer, and is none where there is no TLS", async () => {
    const { url } = await listen(a);
    const http = client({}, trusted());
    expect(await http.request({ method: "GET", url })).toMatchObject({ certificateSha256: digestOf(a) });
    const { origin } = await serve((_request, response) => response.end());
    expect(await http.request({ method: "GET", url: origin })).toMatchObject({ certificateSha256: null });
    // Nor does any pass where one is wanted.
    expect(await outcome(http.request({ method: "GET", url: origin, certificateSha256: digestOf(a) }))).toEqual({
      code: "http_certificate_refused",
      requestSent: false,
    });
  });

  it("is the one that is wanted on a connection opened ahead, too", async () => {
    const { server, url, heard } = await listen(a);
    const http = client({}, trusted());
    const post = async (certificateSha256: string) => {
      const opened = once(server, "secureConnection");
      http.open(url);
      await opened;
      return http.request({ method: "POST", url, body: new Uint8Array(10), certificateSha256 });
    };
    expect(await outcome(post(digestOf(b)))).toEqual({ code: "http_certificate_refused", requestSent: false });
    expect(heard).toEqual([]);
    http.open(url);
    expect(await http.request({ method: "GET", url, certificateSha256: digestOf(a) })).toMatchObject({ status: 200 });
    expect(heard).toEqual([0]);
  });

  it("is the one that is wanted, on a new connection or a kept one: else not a byte goes out", async () => {
    const { url, heard } = await listen(a);
    const http = client({}, trusted());
    const post = (certificateSha256: string) =>
      http.request({ method: "POST", url, body: new Uint8Array(10), certificateSha256 });
    expect(await outcome(post(digestOf(b)))).toEqual({ code: "http_certificate_refused", requestSent: false });
    expect(heard).toEqual([]);
    expect(await post(digestOf(a))).toMatchObject({ status: 200, certificateSha256: digestOf(a) });
    expect(await post(digestOf(a))).toMatchObject({ status: 200 });
    expect(heard).toEqual([0, 0]);
    expect(await outcome(post(digestOf(b)))).toEqual({ code: "http_certificate_refused", requestSent: false });
    expect(heard).toEqual([0, 0]);
  });

  it("of a connection kept from before is not taken for that of the server as it is now", async () => {
    const { server, url, heard } = await listen(a);
    const http = client({}, trusted());
    await http.request({ method: "GET", url });
    server.setSecureContext({ key: b?.key, cert: b?.cert });
    // On the kept connection it is still the old one.
    expect(await http.request({ method: "GET", url, certificateSha256: digestOf(a) })).toMatchObject({ status: 200 });
    expect(heard).toEqual([0, 0]);
    expect(await http.request({ method: "GET", url, certificateSha256: digestOf(b) })).toMatchObject({
      certificateSha256: digestOf(b),
    });
    expect(heard).toEqual([0, 0, 1]);
    expect(await outcome(http.request({ method: "GET", url, certificateSha256: digestOf(c) }))).toEqual({
      code: "http_certificate_refused",
      requestSent: false,
    });
    expect(heard).toHaveLength(3);
  });

  it("is not that of an earlier session which the server resumes", async () => {
    const { server, url } = await listen(a);
    const ticketKeys = server.getTicketKeys();
    const http = client({}, trusted());
    await http.request({ method: "GET", url });
    server.setSecureContext({ key: b?.key, cert: b?.cert });
    server.setTicketKeys(ticketKeys);
    server.closeAllConnections();
    expect(await http.request({ method: "GET", url })).toMatchObject({ certificateSha256: digestOf(b) });
  });
});

describe("T115: a pinned certificate", () => {
  it("stands in for the authorities, and no other certificate gets a byte", async () => {
    const { url, heard } = await listen(a);
    const http = client();
    const post = (pin?: string) =>
      http.request({ method: "POST", url, body: new Uint8Array(10), ...(pin === undefined ? {} : { pin }) });
    expect(await outcome(post())).toMatchObject({ code: "http_unreachable", requestSent: false });
    expect(await outcome(post(digestOf(b)))).toEqual({ code: "http_certificate_refused", requestSent: false });
    expect(heard).toEqual([]);
    expect(await post(digestOf(a))).toMatchObject({ status: 200, certificateSha256: digestOf(a) });
    // The kept connection serves its own pin alone.
    expect(await outcome(post())).toMatchObject({ code: "http_unreachable", requestSent: false });
    expect(await outcome(post(digestOf(b)))).toEqual({ code: "http_certificate_refused", requestSent: false });
    expect(heard).toEqual([0]);
  });

  it("counts on a connection opened ahead, too, and asks for more than an authority does", async () => {
    const { server, url, heard } = await listen(a);
    const http = client({}, trusted());
    // The server may never see a handshake end that the client refuses.
    const opened = once(server, "connection");
    http.open(url, digestOf(b));
    await opened;
    expect(await outcome(http.request({ method: "GET", url, pin: digestOf(b) }))).toEqual({
      code: "http_certificate_refused",
      requestSent: false,
    });
    expect(heard).toEqual([]);
  });

  it("refuses a connection without TLS", async () => {
    const { origin } = await serve((_request, response) => response.end());
    expect(await outcome(client().request({ method: "GET", url: origin, pin: digestOf(a) }))).toEqual({
      code: "http_certificate_refused",
      requestSent: false,
    });
  });
});
