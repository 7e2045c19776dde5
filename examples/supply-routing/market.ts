import { mkdtemp, readFile, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createHash } from "node:crypto";
import { serveLocally, startDevnet, writeDevnet, type Devnet, type Served } from "proof402/devnet";
import {
  createInferenceNode,
  createSigner,
  createSimulatedEnclave,
  createSimulatedRoot,
  generateSigningKey,
  packageModelsDirectory,
  type InferenceNode,
} from "proof402/node";
import { privateKeyToAccount, generatePrivateKey } from "viem/accounts";

export const MODEL = "supply-route";
const FILE = `${MODEL}.onnx`;
type Settings = Devnet["settings"];
type Seller = NonNullable<Settings["sellers"]>[number];

/** A market on this machine with two sellers more, and where a buyer finds its configuration. */
export type Market = {
  config: string;
  folder: string;
  /** The seller `swift` goes away, as a seller may. */
  stopSwift: () => Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
};

/**
 * The devnet's sellers are `honest` (attested), `tampering` (changes answers after it signed them) and `unattested`. Beside
 * them stand `swift`, attested and cheaper, and `budget`, the cheapest: it signs, but runs another model than it says.
 */
export async function openMarket(): Promise<Market> {
  const folder = await mkdtemp(join(tmpdir(), "supply-routing-"));
  const devnet = await startDevnet();
  const root = await createSimulatedRoot();
  const [swift, budget] = await Promise.all([
    createSimulatedEnclave({ root }).then((enclave) => open(devnet, "6000", { enclave })),
    cheaperModel(folder).then(async (other) =>
      open(devnet, "2000", { ...other, enclave: null, signer: await createSigner(await generateSigningKey()) }),
    ),
  ]);
  const models = await packageModelsDirectory();
  const sha256 = digestOf(await readFile(join(models, FILE)));
  const settings: Settings = {
    ...devnet.settings,
    sellers: [
      ...(devnet.settings.sellers ?? []),
      entry("swift", swift, { assurance: "attested", sha256 }),
      entry("budget", budget, { assurance: "signed", sha256 }),
    ],
    verification: {
      ...devnet.settings.verification,
      simulatedRoots: [...(devnet.settings.verification?.simulatedRoots ?? []), root.sha256],
      // The buyer runs the model itself, too: each answer is computed again.
      replay: { models: { [MODEL]: join(models, FILE) } },
    },
  };
  const { config } = await writeDevnet({ ...devnet, settings }, folder);
  const end = async ({ node, served }: Open): Promise<void> => {
    await served.stop();
    await node.close();
  };
  return {
    config,
    folder,
    stopSwift: () => swift.served.stop(),
    async [Symbol.asyncDispose]() {
      await Promise.all([end(swift), end(budget)]);
      await devnet.stop();
    },
  };
}

type Open = { node: InferenceNode; served: Served; payTo: `0x${string}` };

async function open(
  { chainId, token, bank, facilitatorUrl, rpcUrl }: Devnet,
  price: string,
  own: Pick<Parameters<typeof createInferenceNode>[0], "enclave" | "signer" | "modelsDir" | "descriptions">,
): Promise<Open> {
  const payTo = privateKeyToAccount(generatePrivateKey()).address.toLowerCase() as `0x${string}`;
  const { name, version } = bank.token;
  const node = await createInferenceNode({
    ...own,
    models: [{ name: MODEL, price }],
    payment: {
      network: `eip155:${chainId}`,
      asset: token,
      domain: { name, version },
      payTo,
      facilitatorUrl,
      rpcUrl,
      ownPayee: true,
    },
  });
  return { node, payTo, served: await serveLocally(node.fetch) };
}

/** What the buyer pins of a seller: its address, its payee, its key or code, and the model that it says it runs. */
const entry = (
  id: string,
  { node, served, payTo }: Open,
  { assurance, sha256 }: { assurance: "attested" | "signed"; sha256: string },
): Seller => ({
  id,
  provider: "oip",
  origin: served.origin,
  payTo: [payTo],
  assurance,
  reference: {
    measurements: node.measurements === null ? [] : [node.measurements],
    keyIds: node.measurements === null && node.keyId !== null ? [node.keyId] : [],
    models: { [MODEL]: sha256 },
  },
});

/** The model with some weights of the wrong sign: a file of the same form that answers otherwise. */
async function cheaperModel(folder: string) {
  const file = await readFile(join(await packageModelsDirectory(), FILE));
  const name = "hidden0_weight";
  // The file names it last before the values: a tag and a length of two bytes, then little-endian floats.
  const data = file.lastIndexOf(name) + name.length + 3;
  for (let k = 0; k < 8; k += 1) file.writeUInt8(file.readUInt8(data + 4 * k + 3) ^ 0x80, data + 4 * k + 3);
  await writeFile(join(folder, FILE), file);
  const description = { name: MODEL, file: FILE, sha256: digestOf(file), task: "Estimate a route", description: "" };
  return { modelsDir: folder, descriptions: [description] };
}

const digestOf = (file: Uint8Array): string => createHash("sha256").update(file).digest("hex");
