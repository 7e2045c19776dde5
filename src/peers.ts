import { createRequire } from "node:module";
import { join } from "node:path";
import { Proof402Error } from "./errors.ts";

const SELLER = [
  "@peculiar/x509",
  "@x402/core",
  "@x402/evm",
  "@x402/hono",
  "hono",
  "onnxruntime-node",
  "reflect-metadata",
  "viem",
];
const DEVNET = [...SELLER, "@foundry-rs/anvil", "@hono/node-server", "snarkjs"];

const SERVE = [...SELLER, "@hono/node-server"];

/** The optional peers that a command needs. A buyer needs none of them. */
export const PEERS = {
  compile: ["snarkjs"],
  /** `proof402 node init`: it runs the model once. */
  init: ["onnxruntime-node"],
  serve: SERVE,
  /** The same for a node whose configuration names proving files. */
  prove: [...SERVE, "snarkjs"],
  /** What more it needs if its configuration has `metrics`. */
  metrics: ["prom-client"],
  /** What more it needs if its configuration has limits over time. */
  limits: ["rate-limiter-flexible"],
  /** `proof402 open`: the owner's pages. */
  open: ["hono", "@hono/node-server"],
  /** A database on a PostgreSQL server. */
  postgres: ["pg"],
  /** `proof402 work` over one: workers that share its background work. */
  work: ["pg", "pg-boss"],
  /** What a guard before a server at an address needs. */
  upstream: ["@modelcontextprotocol/client"],
  devnet: DEVNET,
  demo: [...DEVNET, "@langchain/core", "langchain"],
} as const;

/** The optional peers behind checks that a configuration may ask for. */
export const CHECKING_PEERS = { replay: "onnxruntime-node", ezkl: "@ezkljs/engine" } as const;

/** Where this file lies. Unknown in a CommonJS bundle, as bundlers make it: packages are looked for from the working folder then. */
const HERE: string | undefined = import.meta.url;
const resolver = createRequire(HERE ?? join(process.cwd(), "package.json"));

type Manifest = { version: string; devDependencies: Record<string, string> };

/** The version of each package that this one is tested with. */
const tested = (): Record<string, string> => (resolver("proof402/package.json") as Manifest).devDependencies;

/** Whether a package is there in a version of the tested line or a later one: LangChain 0.3 stands beside this one, too. */
function isInstalled(name: string): boolean {
  try {
    const { version } = resolver(`${name}/package.json`) as Manifest;
    return Number.parseInt(version, 10) >= Number.parseInt(tested()[name] ?? "0", 10);
  } catch (error) {
    // A package may keep its package.json to itself: then it is there.
    return (error as NodeJS.ErrnoException).code !== "MODULE_NOT_FOUND";
  }
}

/** Says how to install these packages, each in the version this package is tested with. */
export function howToInstall(names: readonly string[]): string {
  const versions = tested();
  const line = `npm install ${names.map((name) => `${name}@${versions[name]}`).join(" ")}`;
  return names.includes("onnxruntime-node")
    ? `Run ${line}. If npm fails in onnxruntime-node, it could not download GPU files from nuget.org: add --ignore-scripts to the line. Nothing here needs them.`
    : `Run ${line}.`;
}

/** The packages among these that are not installed, or too old. */
export const missingPeers = (names: readonly string[]): string[] =>
  names.filter((name) => !isInstalled(name)).toSorted();

/** Throws Proof402Error `peers_missing` with the names of all that are missing or too old. */
export function requirePeers(names: readonly string[]): void {
  const missing = missingPeers(names);
  if (missing.length === 0) return;
  throw new Proof402Error(
    "peers_missing",
    `This command needs packages that are not installed, or too old: ${missing.join(", ")}.`,
    {
      next: howToInstall(missing),
      details: { missing },
    },
  );
}
