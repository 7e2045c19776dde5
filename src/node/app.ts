import { Hono, type Context } from "hono";
import { bodyLimit } from "hono/body-limit";
import { cors } from "hono/cors";
import { methodNotAllowed } from "hono/method-not-allowed";
import { mcpTool } from "../evidence/exchange/mcp-tool/mcp-tool.ts";
import { canonicalJson } from "../evidence/canonical.ts";
import { fromHex, keccak256, toBase64, toHex, utf8 } from "../evidence/bytes.ts";
import { TEE_HEADERS, teeMessageHash } from "../evidence/tee-signature.ts";
import type { Batches } from "./batches.ts";
import type { Enclave } from "./enclave.ts";
import { accept, type Judges } from "./accept.ts";
import { leafOf } from "./leaves.ts";
import type { Observe } from "./observe.ts";
import type { Proofs } from "./proofs.ts";
import type { KeptAnswer } from "./paid-calls.ts";
import type { NodePayment } from "./payment.ts";
import type { Signer } from "./signer.ts";
import type { ServedModel } from "./payment-gate.ts";
import { createMcpTools } from "./mcp/tools.ts";
import { createSeller, type Order } from "./sell.ts";
import { inferResponse, modelMetadata, readInferRequest, serverMetadata, versionOf } from "./oip.ts";

const MAX_BODY = 1_000_000;

/** JCS bytes of the served models' digests, sorted by name: what an enclave measures and `/v1/manifest` serves. */
export const manifestOf = (served: readonly ServedModel[]): Uint8Array =>
  canonicalJson(
    served
      .map(({ model }) => ({ name: model.name, sha256: model.sha256 }))
      .toSorted((a, b) => (a.name < b.name ? -1 : 1)),
  );

/** What stands behind an answer, now or later. */
type Evidence = {
  enclave: Enclave | null;
  /** Signs the answers: the enclave, or a key outside one. */
  signer: Signer | null;
  /** Where signed answers are batched; null anchors nothing. */
  batches: Batches | null;
  /** Names the contract of the batches' roots to buyers. */
  relay?: { network: string; contract: string } | undefined;
  /** Where answers are proved; null proves nothing. */
  proofs: Proofs | null;
};

/** The node's HTTP surface: Open Inference Protocol v2, x402 v2, and where there is an enclave its attestation. */
export function createApp(
  options: Evidence & {
    mcp: boolean;
    served: readonly ServedModel[];
    payment: NodePayment;
    judges: Judges;
    observe: Observe;
  },
): Hono {
  const { mcp, served, payment, judges, enclave, signer, batches, relay, proofs, observe } = options;
  const manifest = manifestOf(served);
  const withModel = modelIn(served);
  const seller = createSeller({
    ...judges,
    work: (order) => work(order, signer, observe),
    settled: ({ served: { model } }, paid) => observe({ kind: "settled", model: model.name, ...paid }),
    publish: (order, answer) => publish(order, answer, options).catch(() => undefined),
  });
  const app = new Hono();

  app.onError((_error, c) => c.json({ error: "internal error" }, 500));
  app.notFound((c) => c.json({ error: "not found" }, 404));
  app.use(readableAnywhere);
  app.use(
    methodNotAllowed({
      app,
      onMethodNotAllowed: (c, methods) =>
        c.json({ error: `this is asked for by ${methods.join(" or ")}` }, 405, { allow: methods.join(", ") }),
    }),
  );

  app.get("/v2", (c) => c.json(serverMetadata));
  app.get("/v2/health/live", (c) => c.json({ live: true }));
  app.get("/v2/health/ready", (c) => c.json({ live: true, ready: true }));
  for (const path of ["/v2/models/:name", "/v2/models/:name/versions/:version"]) {
    app.get(path, (c) => withModel(c, ({ model }) => c.json(modelMetadata(model))));
    app.get(`${path}/ready`, (c) => withModel(c, ({ model }) => c.json({ name: model.name, ready: true })));
    app.use(`${path}/infer`, limitBody);
    app.post(`${path}/infer`, (c) =>
      withModel(c, async (one) => {
        // A request that can only be refused is refused before it is asked to pay.
        if (await onlyAsks(c)) return askForPayment(judges, c, one);
        const order = await readOrder(c, one);
        return order instanceof Response ? order : seller(c, order);
      }),
    );
  }
  // Triton's and MLServer's clients ask so which models there are.
  app.post("/v2/repository/index", (c) =>
    c.json(served.map(({ model }) => ({ name: model.name, version: versionOf(model), state: "READY", reason: "" }))),
  );
  if (enclave?.measuresModels !== false)
    app.get("/v1/manifest", (c) =>
      c.body(new TextDecoder().decode(manifest), 200, { "content-type": "application/json" }),
    );
  app.get("/v1/catalog", (c) =>
    c.json({
      models: served.map(({ model, price, rows }) => ({
        name: model.name,
        task: model.task,
        description: model.description,
        sha256: model.sha256,
        // The digest of its proofs' verification key, for buyers to pin.
        ...(proofs?.keys[model.name] === undefined ? {} : { proof: proofs.keys[model.name] }),
        inputs: model.inputs,
        outputs: model.outputs,
        price: { network: payment.network, asset: payment.asset, amount: price },
        rows,
      })),
      ...(batches === null || relay === undefined ? {} : { relays: [relay] }),
    }),
  );
  if (mcp) {
    const tools = createMcpTools(served, payment, {
      sell: seller,
      askForPayment: (c, one) => askForPayment(judges, c, one),
    });
    app.use(mcpTool.at, limitBody);
    app.post(mcpTool.at, tools);
  }
  if (signer !== null) addSigningKey(app, signer, enclave);
  if (enclave !== null) addAttestation(app, enclave);
  if (batches !== null) addBatchRoutes(app, batches);
  if (proofs !== null) addProofRoutes(app, proofs);
  return app;
}

/** A buyer in a browser, on a page of any origin, has to read the offer, the settlement and the signature. */
const readableAnywhere = cors({
  origin: "*",
  allowMethods: ["GET", "HEAD", "POST"],
  allowHeaders: ["content-type", "payment-signature", "mcp-protocol-version", "mcp-method", "mcp-name"],
  exposeHeaders: ["payment-required", "payment-response", ...Object.values(TEE_HEADERS)],
});

export const limitBody = bodyLimit({
  maxSize: MAX_BODY,
  // What is left of the body is not read, so the connection cannot be used again.
  onError: (c) => c.json({ error: `the body is larger than ${MAX_BODY} bytes` }, 413, { connection: "close" }),
});

/** Finds the model in a path, of the named version, if any. */
function modelIn(served: readonly ServedModel[]) {
  const byName = new Map(served.map((entry) => [entry.model.name, entry]));
  return (c: Context, handle: (one: ServedModel) => Response | Promise<Response>): Response | Promise<Response> => {
    const name = c.req.param("name") ?? "";
    const version = c.req.param("version");
    const one = byName.get(name);
    if (one === undefined) return c.json({ error: `unknown model "${name.slice(0, 128)}"` }, 404);
    if (version !== undefined && version !== versionOf(one.model))
      return c.json({ error: `unknown version "${version.slice(0, 128)}" of model "${name}"` }, 404);
    return handle(one);
  };
}

/** Whether a request, empty and without a payment, only wants to know the price, as catalogues of paid services ask. */
const onlyAsks = async (c: Context): Promise<boolean> =>
  c.req.header("payment-signature") === undefined && /^\s*(?:\{\s*\})?\s*$/.test(await c.req.text());

async function askForPayment(judges: Judges, c: Context, { model }: ServedModel): Promise<Response> {
  const asked = await accept(judges, c, model.name);
  if (asked instanceof Response) return asked;
  throw new Error("nothing was paid");
}

/** Reads a request for a model, or says what is wrong with it. */
async function readOrder(c: Context, served: ServedModel): Promise<Order | Response> {
  const encoding = c.req.header("content-encoding") ?? "identity";
  if (encoding !== "identity" || c.req.header("inference-header-content-length") !== undefined)
    return c.json({ error: "send the request as JSON, without compression or binary tensor data" }, 415);
  const body = new Uint8Array(await c.req.arrayBuffer());
  const request = readInferRequest(served.model, body, served.rows);
  return "error" in request ? c.json({ error: request.error }, request.status) : { served, request, body };
}

/** Runs the model, and signs the exact bytes that came in and go out. */
async function work(
  { served, request, body, write }: Order,
  signer: Signer | null,
  observe: Observe,
): ReturnType<Parameters<typeof createSeller>[0]["work"]> {
  const from = performance.now();
  const outputs = await served.model.run(request.inputs);
  observe({ kind: "computed", model: served.model.name, seconds: (performance.now() - from) / 1000 });
  const text = write?.(outputs) ?? inferResponse(served.model, request, outputs);
  const signature = signer === null ? {} : await signatureHeaders(signer, body, utf8(text));
  return { headers: { "content-type": "application/json", ...signature }, body: text };
}

/** Has an answer that was paid for proved, and puts its signed hashes among those to be anchored: both once. */
async function publish(
  { served, request, body, write }: Order,
  answer: KeptAnswer,
  { batches, proofs }: Evidence,
): Promise<void> {
  // A proof is compared with tensors, and an answer in another form holds none.
  if (write === undefined)
    await proofs?.add(served.model.name, { request: body, inputs: request.inputs, response: utf8(answer.body) });
  const leaf = leafOf(answer);
  if (leaf !== null) await batches?.add(leaf);
}

async function signatureHeaders(
  signer: Signer,
  requestBody: Uint8Array,
  responseBody: Uint8Array,
): Promise<Record<string, string>> {
  const requestHash = keccak256(requestBody);
  const outputHash = keccak256(responseBody);
  const timestamp = Math.floor(Date.now() / 1000);
  const signature = await signer.sign(teeMessageHash({ requestHash, outputHash, timestamp }));
  return {
    [TEE_HEADERS.signature]: toBase64(signature),
    [TEE_HEADERS.teeId]: signer.keyId,
    [TEE_HEADERS.timestamp]: String(timestamp),
    [TEE_HEADERS.requestHash]: toHex(requestHash),
    [TEE_HEADERS.outputHash]: toHex(outputHash),
  };
}

function addSigningKey(app: Hono, { publicKey, keyId }: Signer, enclave: Enclave | null): void {
  app.get("/signing-key", (c) =>
    c.json({
      public_key: pem(publicKey),
      tee_id: keyId,
      timestamp: new Date().toISOString(),
      ...(enclave === null
        ? {}
        : { enclave_info: { simulated: enclave.simulated }, measurements: enclave.measurements() }),
    }),
  );
}

function addAttestation(app: Hono, enclave: Enclave): void {
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

/** Proofs by the SHA-256 of their request's bytes, known to the requester only. */
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
