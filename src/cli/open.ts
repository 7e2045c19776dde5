import type { Command } from "commander";
import { serveDashboard } from "../dashboard/serve.ts";
import { EXIT, globals, note, print } from "./globals.ts";
import { wholeNumber } from "./numbers.ts";
import { configOf, usable } from "./session.ts";
import { untilSignal } from "./until-signal.ts";

/** `proof402 open`: the owner's pages until a signal. */
export async function openPages(options: { port: string; allowApprovals?: true }, command: Command): Promise<number> {
  const { json = false, ...rest } = globals(command);
  await untilSignal(async (ended) => {
    const port = wholeNumber(options.port, "--port", { from: 0, to: 65_535 });
    const { allowApprovals = false } = options;
    const config = await configOf(rest);
    // One line, so that a program that starts it can read up to the line's end.
    const tell = (url: string): void => print(json ? JSON.stringify({ url, allowApprovals }) : url);
    const onSignIn = (url: string): void => {
      if (!json) note("A browser has signed in. For another one:");
      tell(url);
    };
    const dashboard = await usable(config.database, () => serveDashboard({ config, allowApprovals, port, onSignIn }));
    tell(dashboard.url);
    if (!json) {
      note(
        `Open it in a browser on this machine. The address signs in once, and shows all receipts${allowApprovals ? " and approves payments" : ""}: keep it to yourself. Ctrl-C ends it.`,
      );
      if (!allowApprovals) note("Payments that wait are shown, and answered here only with --allow-approvals.");
    }
    await ended;
    await dashboard.close();
  });
  return EXIT.ok;
}
