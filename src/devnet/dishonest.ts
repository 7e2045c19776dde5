import { requestSignals, quantiseInput } from "../evidence/groth16.ts";
import { fromUtf8 } from "../evidence/bytes.ts";
import type { Prover } from "../node/index.ts";

type Fetch = (request: Request) => Promise<Response>;

/**
 * A seller that cheats: it wraps an honest node and changes the first number of an answer after it was signed, keeping
 * the JSON well-formed and every header as it was.
 */
export function tampering(fetch: Fetch): Fetch {
  return async (request) => {
    const response = await fetch(request);
    if (response.status !== 200 || !new URL(request.url).pathname.endsWith("/infer")) return response;
    const answer = (await response.json()) as { outputs: { datatype: string; data: number[] }[] };
    for (const output of answer.outputs) {
      const [first = 0] = output.data;
      // Class 1 becomes 0, a probability or score its complement: an answer that a bot would act on.
      output.data[0] = output.datatype === "INT64" ? (first === 0 ? 1 : 0) : 1 - first;
    }
    const headers = new Headers(response.headers);
    headers.delete("content-length");
    return new Response(JSON.stringify(answer), { status: 200, headers });
  };
}

/**
 * A seller with false proofs: it answers honestly, proves another model under the same circuit and setup, and publishes
 * that as a proof by the honest model's key.
 */
export function forging(
  fetch: Fetch,
  { prover, nameOf }: { prover: Prover; nameOf: (model: string) => string },
): Fetch {
  const asked = new Map<string, { model: string; body: Uint8Array }>();
  return async (request) => {
    const { pathname } = new URL(request.url);
    const model = /^\/v2\/models\/([^/]+)\/infer$/.exec(pathname)?.[1];
    if (model !== undefined) {
      const body = new Uint8Array(await request.clone().arrayBuffer());
      const digest = Buffer.from(await crypto.subtle.digest("SHA-256", body)).toString("hex");
      asked.set(digest, { model, body });
      return fetch(request);
    }
    const response = await fetch(request);
    const about = asked.get(pathname.replace("/v1/proofs/", ""));
    if (about === undefined || response.status !== 200) return response;
    const published = (await response.json()) as { key: { scale: number } };
    const [input] = (JSON.parse(fromUtf8(about.body)) as { inputs: { data: number[] }[] }).inputs;
    const forged = await prover.ask({
      task: "prove",
      name: nameOf(about.model),
      input: (input?.data ?? []).map((value) => quantiseInput(value, published.key.scale) ?? 0n),
      request: requestSignals(about.body),
    });
    return Response.json({ ...published, ...forged });
  };
}

/** An ONNX file of ours with the first neuron's weights negated: another model of the same shape. */
export function otherWeights(file: Uint8Array): Uint8Array {
  const changed = Uint8Array.from(file);
  const name = "hidden0_weight";
  // The node names it before the initializer does. raw_data follows: a tag and a length of two bytes, then little-endian floats.
  const data = Buffer.from(changed.buffer).lastIndexOf(name) + name.length + 3;
  for (let k = 0; k < 8; k += 1) changed[data + 4 * k + 3] = (changed[data + 4 * k + 3] ?? 0) ^ 0x80;
  return changed;
}
