import { EventEmitter, once } from "node:events";
import { basename, join, relative, resolve } from "node:path";
import type { Command } from "commander";
import * as z from "zod";
import { PRESETS, type NewConfig } from "../config/new-config.ts";
import { Proof402Error } from "../errors.ts";
import { toHex } from "../evidence/bytes.ts";
import { canonicalSha256 } from "../evidence/canonical.ts";
import { parseJsonText } from "../evidence/json-text.ts";
import { OTHERS, readTextFile } from "../files/read-file.ts";
import { fileExists, isThere, writeNew } from "../files/write-new.ts";
import {
  describeModel,
  loadNodeConfig,
  modelEntry,
  nodeConfigSchema,
  readSecret,
  type NodeConfig,
} from "../node/config.ts";
import { createSigner, generateSigningKey } from "../node/signer.ts";
import { readCompiled } from "../node/zk/proving-files.ts";
import { PEERS, requirePeers } from "../peers.ts";
import { quoted } from "./quoted.ts";
import { EXIT, globals, note, print, printJson, printResult } from "./globals.ts";
import { busy } from "./progress.ts";

type InitOptions = {
  price: string;
  payTo: string;
  network: keyof typeof PRESETS | "devnet";
  devnet?: string;
  facilitator?: string;
  origin?: string;
  out: string;
};

const CONFIG = "node.config.json";
const KEY = "signing.pem";
/** Coinbase's facilitator for test networks, which asks for no account. */
const TEST_FACILITATOR = "https://x402.org/facilitator";

/** `proof402 node init`: a seller's configuration for one model, and the key that signs its answers. */
export async function initNode(model: string, options: InitOptions, command: Command): Promise<number> {
  const folder = resolve(options.out);
  const { bytes, from, entry } = await modelEntry(model, options.price);
  // A model in several files is sold as one, so that its digest covers all of it.
  const packed = from.length === 0 ? null : join(folder, `${entry.name}.packed.onnx`);
  const market = await marketOf(options);
  const { facilitator = market.facilitator } = options;
  if (facilitator === undefined)
    throw usage("--facilitator is required on this network: the URL of an x402 facilitator.");
  const settings = {
    ...(options.origin === undefined ? {} : { origin: options.origin }),
    payment: { ...market.payment, payTo: options.payTo, facilitatorUrl: facilitator },
    signingKeyFile: KEY,
    database: "node.db",
    models: [{ ...entry, file: relative(folder, packed ?? resolve(model)) }],
  };
  const parsed = nodeConfigSchema.safeParse(settings);
  const [wrong] = parsed.error?.issues ?? [];
  if (wrong !== undefined)
    throw usage(`${OPTION_OF[String(wrong.path.at(-1))] ?? wrong.path.join(".")}: ${wrong.message}.`);
  // What cannot be sold is refused here, and not at its first buyer.
  const { inputs, outputs } = await busy("Opening the model", () => describeModel(bytes, entry.name));
  const files = [join(folder, CONFIG), join(folder, KEY), ...(packed === null ? [] : [packed])];
  for (const file of files) if (await isThere(file)) throw fileExists(file);
  if (packed !== null) await writeNew(packed, bytes);
  await writeNew(join(folder, KEY), await generateSigningKey(), { mode: 0o600 });
  await writeNew(join(folder, CONFIG), `${JSON.stringify(settings, null, 2)}\n`);
  const config = quoted(join(folder, CONFIG));
  if (globals(command).json === true)
    printResult({ config: files[0], files, model: entry, inputs, outputs }, `proof402 node serve ${config}`);
  else {
    print(`${entry.name}: ${entry.price} a call, paid to ${options.payTo} on ${options.network}.`);
    if (packed !== null)
      print(
        `Put ${from.join(" and ")} into ${packed}: its digest covers all of it, and buyers who run it again need it.`,
      );
    print(`Wrote ${files.slice(0, 2).join(" and ")}. Keep the key: buyers pin it.`);
    print(`Next:\n  proof402 node serve ${config}\n  proof402 node reference ${config}   (what your buyers paste)`);
  }
  return EXIT.ok;
}

type Market = {
  payment: ReturnType<typeof paidOn> & { rpcUrl?: string };
  facilitator: string | undefined;
};

/** Where the node is paid: on a known network, or on a devnet that runs. */
async function marketOf({ network: name, devnet = ".proof402" }: InitOptions): Promise<Market> {
  if (name === "devnet") {
    const { devnetIn } = await import("./init/answers.ts");
    const { devnet: market, rpcUrl, ...place } = await devnetIn(devnet);
    // The faucet is a path of the devnet's facilitator.
    return {
      payment: { ...paidOn(place), rpcUrl },
      facilitator: market === null ? undefined : new URL(market.faucet).origin,
    };
  }
  return { payment: paidOn(PRESETS[name]), facilitator: name === "base-sepolia" ? TEST_FACILITATOR : undefined };
}

const paidOn = ({ network, token: { asset, decimals, domain } }: Pick<NewConfig, "network" | "token">) => ({
  network,
  asset,
  decimals,
  domain,
});

const OPTION_OF: Readonly<Record<string, string>> = {
  price: "--price",
  payTo: "--pay-to",
  facilitatorUrl: "--facilitator",
  origin: "--origin",
};

const usage = (message: string): Proof402Error =>
  new Proof402Error("invalid_input", message, { next: "Correct the command line." });

/** `proof402 node serve`: sells until a signal. One line of JSON on stdout for each thing that happens. */
export async function serveNodeFrom(path: string): Promise<number> {
  const signals = new EventEmitter();
  const ended = once(signals, "signal");
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(signal, () => signals.emit("signal"));
  const config = await loadNodeConfig(path);
  requirePeers(peersOf(config));
  const { serveNode } = await import("../node/serve.ts");
  const node = await serveNode(config, (event) => print(JSON.stringify({ at: new Date().toISOString(), ...event })));
  await ended;
  // A second signal waits for nothing, and what is still asked of others may not hold the process.
  signals.once("signal", () => void node.stop("now").finally(() => process.exit(EXIT.ok)));
  await node.stop();
  return EXIT.ok;
}

/** Every package that a configuration needs. */
function peersOf({ models, metrics, limits: { perPayer, perAddress } }: NodeConfig): string[] {
  const proves = models.some(({ provingFolder }) => provingFolder !== undefined);
  return [
    ...(proves ? PEERS.prove : PEERS.serve),
    ...(metrics === undefined ? [] : PEERS.metrics),
    ...(perPayer === undefined && perAddress === undefined ? [] : PEERS.limits),
  ];
}

/** `proof402 node reference`: the entry that buyers paste into their configuration's `sellers`. */
export async function nodeReference(path: string, options: { id?: string; measurements?: string }): Promise<number> {
  const config = await loadNodeConfig(path);
  const known = await knownOf(config, options.measurements);
  const proofs = await proofsOf(config);
  const { anchoring } = config;
  const origin = config.origin ?? originOf(config.listen);
  printJson({
    id: options.id ?? new URL(origin).hostname.replace(/[^a-z0-9._-]/g, ""),
    provider: "oip",
    origin,
    payTo: [config.payment.payTo],
    assurance: Object.keys(proofs).length > 0 ? "proven" : known.assurance,
    reference: {
      ...known.reference,
      models: Object.fromEntries(config.models.map(({ name, sha256 }) => [name, sha256])),
      ...(Object.keys(proofs).length > 0 ? { proofs } : {}),
      ...(anchoring === undefined ? {} : { relays: [relayOf(anchoring)] }),
    },
  });
  note(`Buyers add this to "sellers" in their configuration. ${known.meaning}`);
  if (config.origin === undefined)
    note(`The configuration names no origin, so this is for buyers on this machine. Set "origin" in ${path}.`);
  return EXIT.ok;
}

const relayOf = ({ network, contract }: NonNullable<NodeConfig["anchoring"]>) => ({ network, contract });

type Known = { assurance: "signed" | "attested"; reference: Record<string, unknown>; meaning: string };

/** What buyers know a seller by: its key, or the measurements of its enclave's image. */
async function knownOf({ signingKeyFile, enclave }: NodeConfig, measurements: string | undefined): Promise<Known> {
  if (enclave === undefined) {
    const file = signingKeyFile ?? "";
    const { keyId } = await createSigner(await readSecret(file, "signingKeyFile"));
    const meaning = `It pins the key in ${basename(file)}: it tells them whose answers these are, and not in what machine they were made.`;
    return { assurance: "signed", reference: { keyIds: [keyId] }, meaning };
  }
  if (measurements === undefined)
    throw usage("--measurements is required for a node in an enclave: the JSON that nitro-cli build-enclave prints.");
  const assurance = enclave.helper === undefined ? "signed" : "attested";
  const meaning =
    assurance === "attested"
      ? "It pins the image that you built: a buyer who builds it from the same sources gets the same numbers."
      : "It pins the image that you built. No measurement covers the models without enclave.helper, so it stops at signed.";
  return { assurance, reference: { measurements: [await readMeasurements(measurements)] }, meaning };
}

const pcr = z
  .string()
  .toLowerCase()
  .regex(/^[0-9a-f]{96}$/);
const builtSchema = z.object({ Measurements: z.object({ PCR0: pcr, PCR1: pcr, PCR2: pcr }) });

/** The measurements in what `nitro-cli build-enclave` and `describe-eif` print. */
async function readMeasurements(path: string): Promise<Record<"0" | "1" | "2", string>> {
  const read = await readTextFile(path, { maxBytes: 100_000, denied: OTHERS.write });
  const json = "text" in read ? parseJsonText(read.text) : null;
  const built = builtSchema.safeParse(json?.ok === true ? json.value : undefined);
  if (!built.success) throw usage(`--measurements: ${path} is not what nitro-cli build-enclave prints.`);
  const { PCR0, PCR1, PCR2 } = built.data.Measurements;
  return { "0": PCR0, "1": PCR1, "2": PCR2 };
}

const originOf = ({ host, port, tls }: NodeConfig["listen"]): string =>
  `${tls === undefined ? "http" : "https"}://${host.includes(":") ? `[${host}]` : host}:${port}`;

async function proofsOf({ models }: NodeConfig): Promise<Record<string, string>> {
  const proved = models.flatMap(({ name, provingFolder }) =>
    provingFolder === undefined ? [] : [{ name, provingFolder }],
  );
  const keys = await Promise.all(
    proved.map(async ({ name, provingFolder }) => {
      const { key } = await readCompiled(provingFolder, name);
      return [name, toHex(canonicalSha256(key))] as const;
    }),
  );
  return Object.fromEntries(keys);
}
