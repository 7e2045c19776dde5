import { Hono, type Context } from "hono";
import { bodyLimit } from "hono/body-limit";
import { canonicalJson } from "../evidence/canonical.ts";
import { fromHex, keccak256, toBase64, toHex, toHex0x, utf8 } from "../evidence/bytes.ts";
import { TEE_HEADERS, teeMessageHash } from "../evidence/tee-signature.ts";
import type { Batches } from "./batches.ts";
import type { Enclave } from "./enclave.ts";
import type { LoadedModel } from "../onnx/inference.ts";
import type { Proofs } from "./proofs.ts";
import { chargeByRows, paymentGate, type NodePayment, type ServedModel } from "./payment-gate.ts";
import { rememberAnswers } from "./remembered.ts";
import { inferResponse, modelMetadata, readInferRequest, serverMetadata, type InferRequest } from "./oip.ts";

const MAX_BODY = 1_000_000;

/** JCS bytes of the served models' digests, sorted by name: what PCR2 measures and `/v1/manifest` serves. */
export const manifestOf = (served: readonly ServedModel[]): Uint8Array =>
  canonicalJson(
    served
      .map(({ model }) => ({ name: model.name, sha256: model.sha256 }))
      .toSorted((a, b) => (a.name < b.name ? -1 : 1)),
  );

/** The node's HTTP surface: Open Inference Protocol v2, x402 v2, and where there is an enclave its attestation. */
export function createApp(options: {
  served: readonly ServedModel[];
  payment: NodePayment;
  enclave: Enclave | null;
  /** Where signed answers are batched; null anchors nothing. */
  batches: Batches | null;
  /** Where answers are proved; null proves nothing. */
  proofs: Proofs | null;
}): { app: Hono; close: () => Promise<void> } {
  const { served, payment, enclave, batches, proofs } = options;
  const byName = new Map(served.map((entry) => [entry.model.name, entry]));
  const manifest = manifestOf(served);
  const app = new Hono();

  app.onError((_error, c) => c.json({ error: "internal error" }, 500));
  app.notFound((c) => c.json({ error: "not found" }, 404));

  app.get("/v2", (c) => c.json(serverMetadata));
  app.get("/v2/health/live", (c) => c.json({ live: true }));
  app.get("/v2/health/ready", (c) => c.json({ ready: true }));
  app.get("/v2/models/:name", (c) => withModel(c, byName, ({ model }) => c.json(modelMetadata(model))));
  app.get("/v2/models/:name/ready", (c) =>
    withModel(c, byName, ({ model }) => c.json({ name: model.name, ready: true })),
  );
  app.get("/v1/manifest", (c) =>
    c.body(new TextDecoder().decode(manifest), 200, { "content-type": "application/json" }),
  );
  app.get("/v1/catalog", (c) =>
    c.json({
      models: served.map(({ model, price }) => ({
        name: model.name,
        task: model.task,
        description: model.description,
        sha256: model.sha256,
        inputs: model.inputs,
        outputs: model.outputs,
        price: { network: payment.network, asset: payment.asset, amount: price },
      })),
    }),
  );
  if (enclave !== null) addEnclaveRoutes(app, enclave);
  if (batches !== null) addBatchRoutes(app, batches);
  if (proofs !== null) addProofRoutes(app, proofs);

  // A request that could only be refused is refused before it is asked to pay.
  app.use(
    "/v2/models/:name/infer",
    bodyLimit({
      maxSize: MAX_BODY,
      // What is left of the body is not read, so the connection cannot be used again.
      onError: (c) => c.json({ error: `the body is larger than ${MAX_BODY} bytes` }, 413, { connection: "close" }),
    }),
  );
  app.use("/v2/models/:name/infer", async (c, next) => {
    const name = c.req.param("name");
    if (c.req.method === "POST" && !byName.has(name)) return c.json({ error: unknownModel(name) }, 404);
    return next();
  });
  app.use("/v2/models/:name/infer", rememberAnswers());
  const gate = paymentGate(served, payment);
  app.use(gate.middleware);
  app.post("/v2/models/:name/infer", (c) =>
    withModel(c, byName, ({ model }) => infer(c, model, { enclave, batches, proofs })),
  );
  return { app, close: gate.close };
}

const unknownModel = (name: string): string => `unknown model "${name.slice(0, 128)}"`;

function withModel(
  c: Context,
  byName: ReadonlyMap<string, ServedModel>,
  handle: (served: ServedModel) => Response | Promise<Response>,
): Response | Promise<Response> {
  const name = c.req.param("name") ?? "";
  const served = byName.get(name);
  return served === undefined ? c.json({ error: unknownModel(name) }, 404) : handle(served);
}

/** What stands behind an answer, now or later. */
type Evidence = { enclave: Enclave | null; batches: Batches | null; proofs: Proofs | null };

async function infer(c: Context, model: LoadedModel, { enclave, batches, proofs }: Evidence): Promise<Response> {
  const body = new Uint8Array(await c.req.arrayBuffer());
  const request = readInferRequest(model, body);
  if ("error" in request) return c.json({ error: request.error }, request.status);
  const { inputs } = request;
  const outputs = await model.run(inputs);
  const text = JSON.stringify(inferResponse(model, request, outputs));
  chargeByRows(c, rowsOf(request));
  proofs?.add(model.name, { request: body, inputs, outputs });
  const headers = enclave === null ? {} : await signatureHeaders(enclave, body, utf8(text), batches);
  return c.body(text, 200, { "content-type": "application/json", ...headers });
}

/** The size of the first input's first dimension: what a model is asked to answer. */
const rowsOf = ({ inputs }: InferRequest): number => inputs[0]?.shape[0] ?? 1;

/** Signs the exact bytes that came in and go out, and puts the signed hashes among those to be anchored. */
async function signatureHeaders(
  enclave: Enclave,
  requestBody: Uint8Array,
  responseBody: Uint8Array,
  batches: Batches | null,
): Promise<Record<string, string>> {
  const requestHash = keccak256(requestBody);
  const outputHash = keccak256(responseBody);
  const timestamp = Math.floor(Date.now() / 1000);
  const signature = await enclave.sign(teeMessageHash({ requestHash, outputHash, timestamp }));
  batches?.add({
    teeId: enclave.keyId,
    inputHash: toHex0x(requestHash),
    outputHash: toHex0x(outputHash),
    signature: toHex0x(signature),
    timestamp,
  });
  return {
    [TEE_HEADERS.signature]: toBase64(signature),
    [TEE_HEADERS.teeId]: enclave.keyId,
    [TEE_HEADERS.timestamp]: String(timestamp),
    [TEE_HEADERS.requestHash]: toHex(requestHash),
    [TEE_HEADERS.outputHash]: toHex(outputHash),
  };
}

function addEnclaveRoutes(app: Hono, enclave: Enclave): void {
  app.get("/signing-key", (c) =>
    c.json({
      public_key: pem(enclave.publicKey),
      tee_id: enclave.keyId,
      timestamp: new Date().toISOString(),
      enclave_info: { simulated: enclave.simulated },
      measurements: enclave.measurements(),
    }),
  );
  app.get("/enclave/attestation", async (c) => {
    const nonce = c.req.query("nonce") ?? "";
    if (!/^(?:[0-9a-fA-F]{2}){16,64}$/.test(nonce))
      return c.json({ error: "nonce must be 16 to 64 bytes of hex" }, 400);
    return c.text(toBase64(await enclave.attest(fromHex(nonce.toLowerCase()))));
  });
}

/** Batches as they are published: nothing in them that the chain or the buyer does not check. */
function addBatchRoutes(app: Hono, batches: Batches): void {
  app.get("/v1/inclusions/:id", (c) => {
    const found = batches.inclusion(c.req.param("id"));
    if (found === null) return c.json({ error: "no answer of that id is kept here" }, 404);
    return c.json(found, found.state === "pending" ? 202 : 200);
  });
  app.get("/v1/batches/:root", (c) => {
    const batch = batches.batch(c.req.param("root"));
    return batch === null ? c.json({ error: "no batch of that root is kept here" }, 404) : c.json(batch);
  });
}

/** Proofs by the SHA-256 of their request's bytes, which nobody knows but who sent them. */
function addProofRoutes(app: Hono, proofs: Proofs): void {
  app.get("/v1/proofs/:id", (c) => {
    const found = proofs.get(c.req.param("id"));
    if (found === null) return c.json({ error: "no proof of that request is kept here" }, 404);
    return c.json(found, found.state === "pending" ? 202 : 200);
  });
}

/** RFC 7468 PEM of a SubjectPublicKeyInfo. */
const pem = (spki: Uint8Array): string =>
  `-----BEGIN PUBLIC KEY-----\n${toBase64(spki).replace(/.{64}/g, "$&\n").trimEnd()}\n-----END PUBLIC KEY-----\n`;
