import { dirname, join } from "node:path";
import type { Command } from "commander";
import { configPath } from "../config/load.ts";
import { Proof402Error } from "../errors.ts";
import { createProxy } from "../proxy/proxy.ts";
import { serveProxy } from "../proxy/serve.ts";
import { openToken } from "../proxy/token.ts";
import type { Assurance } from "../receipts/schema.ts";
import { EXIT, globals, note, print } from "./globals.ts";
import { decimal, wholeNumber } from "./numbers.ts";
import { openFor } from "./session.ts";
import { untilSignal } from "./until-signal.ts";

/** The proxy's port where the command names none. */
export const DEFAULT_PORT = 4020;
/** The token's file, beside the configuration. */
export const TOKEN_FILE = "proxy-token";

type Options = {
  host: string;
  port: string;
  strict?: true;
  seller?: string;
  assurance?: Assurance;
  maxUsd?: string;
  allowHost?: string[];
  allowOrigin?: string[];
};

/** `proof402 proxy`: OpenAI's API on this machine until a signal. It ends once the last exchange has. */
export async function proxy(options: Options, command: Command): Promise<number> {
  const { json = false, ...rest } = globals(command);
  await untilSignal(async (ended) => {
    const { host, strict = false, allowHost: allowHosts = [], allowOrigin: allowOrigins = [] } = options;
    const port = wholeNumber(options.port, "--port", { from: 0, to: 65_535 });
    const bounds = boundsOf(options);
    const tokenFile = join(dirname(configPath(rest.config)), TOKEN_FILE);
    const token = await openToken(tokenFile);
    const buyer = await openFor(rest);
    try {
      const answer = createProxy({ buyer, strict, bounds, clock: () => new Date() });
      const served = await serveProxy(answer, { host, port, token, allowHosts, allowOrigins });
      // One line, so that a program that starts it can read up to the line's end.
      if (json) print(JSON.stringify({ baseUrl: served.baseUrl, tokenFile, strict }));
      else {
        print(`OpenAI's API at ${served.baseUrl}, each request bought under the payment policy. Ctrl-C ends it.`);
        note(`  API key      the token in ${tokenFile}`);
        note(
          `  answers      ${strict ? "verified ones only; others are errors (502)" : "with their verdict; failed ones are errors (502)"}`,
        );
        if (!LOOPBACK.includes(host)) note("Beyond this machine the token goes over the network as plain text.");
      }
      await ended;
      await served.stop();
    } finally {
      await buyer.close();
    }
  });
  return EXIT.ok;
}

const LOOPBACK: readonly string[] = ["127.0.0.1", "localhost", "::1"];

function boundsOf({ seller, assurance, maxUsd }: Options): Parameters<typeof createProxy>[0]["bounds"] {
  const most = maxUsd === undefined ? undefined : decimal(maxUsd, "--max-usd");
  if (typeof most === "string")
    throw new Proof402Error("usage", "--max-usd takes a number such as 0.05.", { next: "Give it in decimal digits." });
  return {
    ...(seller === undefined ? {} : { seller }),
    ...(assurance === undefined ? {} : { assurance }),
    ...(most === undefined ? {} : { maxUsd: most }),
  };
}
