import { Command } from "commander";
import { EXIT_MEANINGS } from "./globals.ts";
import { VERSION } from "../version.ts";

const EXIT_CODES = `
Exit codes
${EXIT_MEANINGS.map(([code, meaning]) => `  ${String(code).padEnd(5)}${meaning.replaceAll("\n", `\n${" ".repeat(7)}`)}`).join("\n")}

Start with: proof402 demo`;

/** The program without its commands. */
export const bareProgram = (): Command =>
  new Command("proof402")
    .description("Buy AI inferences over HTTP 402 and keep proof receipts that anyone can check offline.")
    .version(VERSION)
    .option("--config <file>", "configuration file (default: PROOF402_CONFIG, ~/.proof402/)")
    .option("--json", "print data as JSON on stdout")
    .addHelpText("after", EXIT_CODES)
    .exitOverride()
    .configureHelp({ showGlobalOptions: true });
