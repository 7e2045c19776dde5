import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { decodeUserData, PCR } from "../../src/evidence/attestation.ts";
import { equalBytes, fromBase64, fromHex, keccak256, sha256, sha384, toHex } from "../../src/evidence/bytes.ts";
import { decodeNitroDocument } from "../../src/evidence/nitro.ts";
import { TEE_HEADERS, TEE_SIGNATURE_ALGORITHM, teeMessageHash } from "../../src/evidence/tee-signature.ts";
import { verifyNitroDocument } from "../../src/verify/tee/nitro.ts";
import { openMarket, type Market } from "../support/devnet.ts";
import { payingFetch } from "../support/stock-client.ts";

let market: Market;
let origin: string;
beforeAll(async () => {
  market = await openMarket();
  ({ origin } = market.devnet.sellers.honest);
});
afterAll(() => market.stop());

const get = async (path: string): Promise<{ status: number; body: unknown }> => {
  const response = await fetch(`${origin}${path}`);
  return { status: response.status, body: await response.json() };
};
const infer = (path: string, body: string, send: typeof fetch = fetch) =>
  send(`${origin}${path}`, { method: "POST", headers: { "content-type": "application/json" }, body });
const request = JSON.stringify({
  id: "ab".repeat(16),
  inputs: [{ name: "features", shape: [1, 8], datatype: "FP32", data: [0, 0, 0, 0.3, 0.3, 0, 0, 0] }],
});

describe("a node", () => {
  test("speaks the Open Inference Protocol's metadata and health", async () => {
    expect(await get("/v2")).toMatchObject({ status: 200, body: { name: "proof402-node", extensions: [] } });
    expect((await get("/v2/health/live")).status).toBe(200);
    expect((await get("/v2/health/ready")).status).toBe(200);
    expect(await get("/v2/models/eth-risk")).toMatchObject({
      status: 200,
      body: {
        name: "eth-risk",
        platform: "onnxruntime_onnx",
        inputs: [{ name: "features", datatype: "FP32", shape: [-1, 8] }],
      },
    });
    expect((await get("/v2/models/eth-risk/ready")).status).toBe(200);
    expect(await get("/v2/models/nothing")).toMatchObject({ status: 404, body: { error: 'unknown model "nothing"' } });
  });

  test("asks for payment before it works, and never for what it does not serve", async () => {
    const unpaid = await infer("/v2/models/eth-risk/infer", request);
    expect(unpaid.status).toBe(402);
    expect(unpaid.headers.get("payment-required")).not.toBeNull();
    expect((await infer("/v2/models/nothing/infer", request)).status).toBe(404);
    expect((await infer("/v2/models/eth-risk/infer", "x".repeat(1_000_001))).status).toBe(413);
  });

  test("answers one payment once and the same, however many copies of it come, at once or later", async () => {
    let headers: Headers | undefined;
    const { address, send } = payingFetch(market, (input, init) => {
      headers = new Headers(input instanceof Request ? input.headers : init?.headers);
      return fetch(input, init);
    });
    const before = await market.devnet.balanceOf(address);
    const once = await infer("/v2/models/eth-risk/infer", request, send);
    const copies = await Promise.all(
      Array.from({ length: 5 }, () =>
        fetch(`${origin}/v2/models/eth-risk/infer`, { method: "POST", headers: headers ?? {}, body: request }),
      ),
    );
    const answers = await Promise.all([once, ...copies].map((response) => response.text()));
    expect(new Set(answers).size).toBe(1);
    expect(new Set([once, ...copies].map(({ headers: h }) => h.get(TEE_HEADERS.signature))).size).toBe(1);
    expect(before - (await market.devnet.balanceOf(address))).toBe(10_000n);
  });

  test("charges nothing for a request it cannot serve", async () => {
    const { send, address } = payingFetch(market);
    const before = await market.devnet.balanceOf(address);
    const response = await infer("/v2/models/eth-risk/infer", JSON.stringify({ inputs: [] }), send);
    expect(response.status).toBe(400);
    expect(await market.devnet.balanceOf(address)).toBe(before);
  });

  test("signs exactly the bytes that came in and went out", async () => {
    const { send } = payingFetch(market);
    const response = await infer("/v2/models/eth-risk/infer", request, send);
    const body = new Uint8Array(await response.arrayBuffer());
    const key = (await get("/signing-key")).body as { public_key: string; tee_id: string };
    const spki = fromBase64(key.public_key.replace(/-----[A-Z ]+-----|\s/g, ""));
    const requestHash = keccak256(new TextEncoder().encode(request));
    const outputHash = keccak256(body);
    expect(response.headers.get(TEE_HEADERS.requestHash)).toBe(toHex(requestHash));
    expect(response.headers.get(TEE_HEADERS.outputHash)).toBe(toHex(outputHash));
    expect(response.headers.get(TEE_HEADERS.teeId)).toBe(`0x${toHex(keccak256(spki))}`);
    const message = teeMessageHash({
      requestHash,
      outputHash,
      timestamp: Number(response.headers.get(TEE_HEADERS.timestamp)),
    });
    const publicKey = await crypto.subtle.importKey("spki", spki, TEE_SIGNATURE_ALGORITHM, false, ["verify"]);
    const signature = fromBase64(response.headers.get(TEE_HEADERS.signature) ?? "");
    expect(signature).toHaveLength(256);
    expect(await crypto.subtle.verify(TEE_SIGNATURE_ALGORITHM, publicKey, signature, message)).toBe(true);
  });

  test("attests its key, its nonce and its models, under a root that only a policy's word makes acceptable", async () => {
    const nonce = "5a".repeat(20);
    const document = fromBase64(await (await fetch(`${origin}/enclave/attestation?nonce=${nonce}`)).text());
    const at = new Date();
    const [root = ""] = market.config().verification.simulatedRoots;
    expect(await verifyNitroDocument({ document, evaluateAt: at, simulatedRoots: [root] })).toMatchObject({
      ok: true,
      simulated: true,
    });
    expect(await verifyNitroDocument({ document, evaluateAt: at, simulatedRoots: [] })).toMatchObject({
      ok: false,
      check: "trust-anchor",
    });
    const decoded = decodeNitroDocument(document);
    if (!decoded.ok) throw new Error(decoded.message);
    const { payload } = decoded.document;
    expect(payload.moduleId).toContain("simulated");
    expect(payload.nonce).toEqual(fromHex(nonce));
    const manifest = new Uint8Array(await (await fetch(`${origin}/v1/manifest`)).arrayBuffer());
    expect(payload.pcrs.get(PCR.models)).toEqual(sha384(manifest));
    const key = (await get("/signing-key")).body as { public_key: string };
    const spki = fromBase64(key.public_key.replace(/-----[A-Z ]+-----|\s/g, ""));
    const bound = decodeUserData(payload.userData ?? new Uint8Array());
    expect(bound !== null && equalBytes(bound.signingKeySha256, sha256(spki))).toBe(true);
  });

  test.each([
    "",
    "?nonce=",
    "?nonce=xyz",
    `?nonce=${"ab".repeat(15)}`,
    `?nonce=${"ab".repeat(65)}`,
    `?nonce=${"a".repeat(41)}`,
  ])("refuses to attest without a proper nonce (%s)", async (query) => {
    expect((await fetch(`${origin}/enclave/attestation${query}`)).status).toBe(400);
  });

  test("without an enclave has neither key nor attestation nor signatures", async () => {
    const plain = market.devnet.sellers.unattested.origin;
    expect((await fetch(`${plain}/signing-key`)).status).toBe(404);
    expect((await fetch(`${plain}/enclave/attestation?nonce=${"ab".repeat(20)}`)).status).toBe(404);
  });
});
