import { resolve } from "node:path";
import type { Command } from "commander";
import { Proof402Error } from "../errors.ts";
import { EXIT, globals, note, printJson } from "./globals.ts";

type Options = { dir: string; ports?: string; blockSeconds?: string };

const PORT_NAMES = ["chain", "facilitator", "attested", "cheap", "plain"] as const;

/** `proof402 devnet`: a market on this machine until a signal, or until standard input closes with `--json`. */
export async function devnet(options: Options, command: Command): Promise<number> {
  const { json = false } = globals(command);
  const { startDevnet, writeDevnet } = await import("../devnet/index.ts");
  const ended = new Promise<void>((done) => {
    for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.once(signal, () => done());
  });
  const ports = readPorts(options.ports);
  const blockSeconds = options.blockSeconds === undefined ? undefined : Number(options.blockSeconds);
  const market = await startDevnet({ ...(ports === null ? {} : { ports }), ...(blockSeconds === undefined ? {} : { blockSeconds }) });
  try {
    const { config } = await writeDevnet(market, resolve(options.dir));
    const { rpcUrl, chainId, token, facilitatorUrl, sellers } = market;
    if (json) printJson({ config, rpcUrl, chainId, token, facilitatorUrl, sellers });
    else {
      note("A market on this machine. Its hardware is simulated and its money is play money.");
      note(`  chain        ${rpcUrl} (id ${chainId})\n  token        ${token}\n  facilitator  ${facilitatorUrl}`);
      for (const [name, seller] of Object.entries(sellers)) note(`  ${name.padEnd(12)} ${seller.origin}`);
      note(`\nIn another terminal:\n  proof402 --config ${config} models\nCtrl-C ends it.`);
    }
    await ended;
  } finally {
    await market.stop();
  }
  return EXIT.ok;
}

function readPorts(given: string | undefined): Partial<Record<(typeof PORT_NAMES)[number], number>> | null {
  if (given === undefined) return null;
  const pairs = given.split(",").map((pair) => pair.split("="));
  const ok = pairs.every(([name, port]) => PORT_NAMES.some((one) => one === name) && /^[0-9]{1,5}$/.test(port ?? "") && Number(port) < 65_536);
  if (ok) return Object.fromEntries(pairs.map(([name, port]) => [name, Number(port)]));
  throw new Proof402Error("usage", "--ports takes pairs such as chain=8545,attested=4021.", { next: `Names: ${PORT_NAMES.join(", ")}.` });
}
