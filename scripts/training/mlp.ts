/** A seeded generator of numbers in [0, 1): mulberry32. Same seed, same model file. */
export function seeded(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296;
  };
}

/** A standard normal number (Box-Muller). */
export const normal = (random: () => number): number =>
  Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());

/** One dense layer, weights row-major [outputs][inputs]. */
export type Dense = { inputs: number; outputs: number; weights: Float64Array; bias: Float64Array };
export type Head = "softmax" | "sigmoid" | "linear";
export type Sample = { x: number[]; y: number[] };

/** Dense layers with ReLU between them; the head is applied to the last one's output. */
export type Mlp = { layers: Dense[]; head: Head };

/** He-initialised network of the given widths. */
export function createMlp(widths: readonly number[], head: Head, random: () => number): Mlp {
  const layers = widths.slice(1).map((outputs, index): Dense => {
    const inputs = widths[index] ?? 0;
    const scale = Math.sqrt(2 / inputs);
    return {
      inputs,
      outputs,
      weights: Float64Array.from({ length: inputs * outputs }, () => normal(random) * scale),
      bias: new Float64Array(outputs),
    };
  });
  return { layers, head };
}

/** Activations of every layer, input first; the last are the raw outputs before the head. */
function forward(model: Mlp, x: readonly number[]): Float64Array[] {
  const activations = [Float64Array.from(x)];
  for (const [index, layer] of model.layers.entries()) {
    const input = activations[index] ?? new Float64Array();
    const output = new Float64Array(layer.outputs);
    for (let o = 0; o < layer.outputs; o += 1) {
      let sum = layer.bias[o] ?? 0;
      for (let i = 0; i < layer.inputs; i += 1) sum += (layer.weights[o * layer.inputs + i] ?? 0) * (input[i] ?? 0);
      output[o] = index < model.layers.length - 1 ? Math.max(0, sum) : sum;
    }
    activations.push(output);
  }
  return activations;
}

/** What the model answers: the head over the raw outputs. */
export function predict(model: Mlp, x: readonly number[]): number[] {
  return applyHead(model.head, [...(forward(model, x).at(-1) ?? [])]);
}

function applyHead(head: Head, raw: number[]): number[] {
  if (head === "linear") return raw;
  if (head === "sigmoid") return raw.map((z) => 1 / (1 + Math.exp(-z)));
  const top = Math.max(...raw);
  const powers = raw.map((z) => Math.exp(z - top));
  const total = powers.reduce((sum, p) => sum + p, 0);
  return powers.map((p) => p / total);
}

/** Adam over mini-batches. Cross-entropy for softmax and sigmoid, squared error for linear: all have gradient prediction - target. */
export function train(
  model: Mlp,
  data: readonly Sample[],
  options: { epochs: number; batch: number; rate: number; random: () => number },
): void {
  const parameters = model.layers.flatMap((layer) => [layer.weights, layer.bias]);
  const gradients = parameters.map((p) => new Float64Array(p.length));
  const first = parameters.map((p) => new Float64Array(p.length));
  const second = parameters.map((p) => new Float64Array(p.length));
  const order = data.map((_, index) => index);
  let step = 0;
  for (let epoch = 0; epoch < options.epochs; epoch += 1) {
    shuffle(order, options.random);
    const rate = options.rate * (1 - epoch / options.epochs);
    for (let start = 0; start < order.length; start += options.batch) {
      const batch = order.slice(start, start + options.batch);
      for (const gradient of gradients) gradient.fill(0);
      for (const index of batch) {
        const sample = data[index];
        if (sample !== undefined) accumulate(model, sample, gradients, 1 / batch.length);
      }
      step += 1;
      for (const [k, parameter] of parameters.entries()) {
        adam(parameter, gradients[k] ?? parameter, first[k] ?? parameter, second[k] ?? parameter, rate, step);
      }
    }
  }
  // The file holds 32-bit floats: what is measured afterwards is what is served.
  for (const parameter of parameters)
    for (let i = 0; i < parameter.length; i += 1) parameter[i] = Math.fround(parameter[i] ?? 0);
}

function accumulate(model: Mlp, sample: Sample, gradients: Float64Array[], weight: number): void {
  const activations = forward(model, sample.x);
  const output = applyHead(model.head, [...(activations.at(-1) ?? [])]);
  let delta = Float64Array.from(output, (value, index) => (value - (sample.y[index] ?? 0)) * weight);
  for (let l = model.layers.length - 1; l >= 0; l -= 1) {
    const layer = model.layers[l];
    const input = activations[l];
    const weights = gradients[2 * l];
    const bias = gradients[2 * l + 1];
    if (layer === undefined || input === undefined || weights === undefined || bias === undefined) return;
    const below = new Float64Array(layer.inputs);
    for (let o = 0; o < layer.outputs; o += 1) {
      const d = delta[o] ?? 0;
      bias[o] = (bias[o] ?? 0) + d;
      for (let i = 0; i < layer.inputs; i += 1) {
        const at = o * layer.inputs + i;
        weights[at] = (weights[at] ?? 0) + d * (input[i] ?? 0);
        below[i] = (below[i] ?? 0) + d * (layer.weights[at] ?? 0);
      }
    }
    delta = below.map((value, i) => ((input[i] ?? 0) > 0 ? value : 0));
  }
}

function adam(
  parameter: Float64Array,
  gradient: Float64Array,
  m: Float64Array,
  v: Float64Array,
  rate: number,
  step: number,
): void {
  const [b1, b2] = [0.9, 0.999];
  for (let i = 0; i < parameter.length; i += 1) {
    const g = gradient[i] ?? 0;
    m[i] = b1 * (m[i] ?? 0) + (1 - b1) * g;
    v[i] = b2 * (v[i] ?? 0) + (1 - b2) * g * g;
    const corrected = (m[i] ?? 0) / (1 - b1 ** step) / (Math.sqrt((v[i] ?? 0) / (1 - b2 ** step)) + 1e-8);
    parameter[i] = (parameter[i] ?? 0) - rate * corrected;
  }
}

function shuffle(order: number[], random: () => number): void {
  for (let i = order.length - 1; i > 0; i -= 1) {
    const j = Math.floor(random() * (i + 1));
    [order[i], order[j]] = [order[j] ?? 0, order[i] ?? 0];
  }
}
