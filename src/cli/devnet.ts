import { join, resolve } from "node:path";
import type { Command } from "commander";
import type { DevnetOptions } from "../devnet/index.ts";
import { Proof402Error } from "../errors.ts";
import { quoted } from "./quoted.ts";
import { EXIT, globals, note, print } from "./globals.ts";
import { wholeNumber } from "./numbers.ts";
import { alive, busy } from "./progress.ts";

type Options = {
  dir: string;
  ports?: string;
  blockSeconds?: string;
  chat?: boolean;
  gateway?: boolean;
  upstream?: string;
};

const PORT_NAMES = [
  "chain",
  "facilitator",
  "honest",
  "tampering",
  "unattested",
  "prover",
  "forger",
  "keyed",
  "chat",
  "gateway",
] as const;

/** `proof402 devnet`: a market on this machine until a signal. `--json` prints one line when it is ready. */
export async function devnet(options: Options, command: Command): Promise<number> {
  const { json = false } = globals(command);
  const ended = new Promise<void>((done) => {
    for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.once(signal, () => done());
  });
  const ports = readPorts(options.ports);
  const blockSeconds =
    options.blockSeconds === undefined
      ? undefined
      : wholeNumber(options.blockSeconds, "--block-seconds", { from: 1, to: 9999 });
  const { gateway = false, upstream } = options;
  // An upstream without a word for whom is for the plain seller.
  const { chat = upstream !== undefined && !gateway } = options;
  const directory = resolve(options.dir);
  // Loading it keeps a busy machine, and every timer of this process, for seconds.
  note("Loading the market ...");
  const { readDevnet, readDevnetKey, startDevnet, writeDevnet } = await loadDevnet();
  const privateKey = await readDevnetKey(directory);
  const asked = busy(`Asking the chain of the devnet in ${directory}`, () => readDevnet(directory));
  const left = await Promise.race([asked, ended.then(() => "ended" as const)]);
  if (left === "ended") return EXIT.ok;
  if (left?.isRunning === true) throw stillRunning(directory, left.process);
  const proving = join(directory, "devnet-proving");
  const market = await alive("proof402 devnet", () =>
    startDevnet({
      progress: (step) => note(`${step} ...`),
      proving: { keptIn: proving },
      privateKey: privateKey ?? undefined,
      ports: ports ?? undefined,
      blockSeconds,
      chat: chat && behind(options),
      gateway: gateway && behind(options),
    }),
  );
  try {
    const { config, files } = await writeDevnet(market, directory);
    const { rpcUrl, chainId, token, facilitatorUrl, sellers } = market;
    // One line, so that a program that starts it can read up to the line's end.
    if (privateKey !== null) {
      note(
        "The market that ran here before is gone: this one has another chain, other sellers and another hardware root. Its configuration takes the old one's place. Receipts and trust files of the old market do not verify by it.",
      );
    }
    const next = `proof402 --config ${quoted(config)} models`;
    const told = { config, files, provingFolder: proving, rpcUrl, chainId, token, facilitatorUrl, sellers, next };
    if (json) print(JSON.stringify(told));
    else {
      note("A market on this machine. Its hardware is simulated and its money is play money.");
      note(`  chain        ${rpcUrl} (id ${chainId})\n  token        ${token}\n  facilitator  ${facilitatorUrl}`);
      for (const [name, seller] of Object.entries(sellers)) note(`  ${name.padEnd(12)} ${seller.origin}`);
      note(`\nWrote ${files.join(", ")}; keeps the sellers' proving keys in ${proving}`);
      note(
        `\nIn another terminal:\n  ${next}\nOr with a wallet and a configuration of your own, which it sends play money:\n  proof402 init --network devnet --devnet ${quoted(directory)} --wallet file\nCtrl-C ends it.`,
      );
    }
    await ended;
  } finally {
    await market.stop();
  }
  return EXIT.ok;
}

async function loadDevnet() {
  const [market, folder] = await Promise.all([import("../devnet/index.ts"), import("../devnet/folder.ts")]);
  return { ...market, ...folder };
}

/** The key of an upstream, sent to it alone. */
const UPSTREAM_KEY = "PROOF402_UPSTREAM_KEY";

function behind({ upstream }: Options): NonNullable<DevnetOptions["chat"]> {
  if (upstream === undefined) return true;
  if (!URL.canParse(upstream) || !/^https?:$/.test(new URL(upstream).protocol))
    throw new Proof402Error("usage", "--upstream takes the address of an OpenAI-compatible API.", {
      next: "Give its base, as in --upstream http://127.0.0.1:11434/v1.",
    });
  const key = process.env[UPSTREAM_KEY];
  return { upstream, ...(key === undefined ? {} : { key }) };
}

const stillRunning = (directory: string, its: number | null): Proof402Error =>
  new Proof402Error("devnet_running", `A devnet runs in ${directory}. Its market and its files stay as they are.`, {
    next: `Use that one, or end it with Ctrl-C in its terminal${its === null ? "" : ` (or: kill ${its})`} and run this command again. For a second market name another directory with --dir.`,
    details: { directory, process: its },
  });

function readPorts(given: string | undefined): Partial<Record<(typeof PORT_NAMES)[number], number>> | null {
  if (given === undefined) return null;
  const ports: Partial<Record<(typeof PORT_NAMES)[number], number>> = {};
  for (const pair of given.split(",")) {
    const [name, port = ""] = pair.split("=");
    const known = PORT_NAMES.find((one) => one === name);
    if (known === undefined || !/^[1-9][0-9]{0,4}$/.test(port) || Number(port) > 65_535) {
      throw new Proof402Error("usage", "--ports takes pairs such as chain=8545,honest=4021.", {
        next: `Names: ${PORT_NAMES.join(", ")}.`,
      });
    }
    ports[known] = Number(port);
  }
  return ports;
}
