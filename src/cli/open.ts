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
    const dashboard = await usable(config, () => serveDashboard({ config, allowApprovals, port }));
    // One line, so that a program that starts it can read up to the line's end.
    if (json) print(JSON.stringify({ url: dashboard.url, allowApprovals }));
    else {
      print(dashboard.url);
      note(
        `Open it in a browser on this machine. The address shows all receipts${allowApprovals ? " and approves payments" : ""}: keep it to yourself. Ctrl-C ends it.`,
      );
      if (!allowApprovals) note("Payments that wait are shown, and answered here only with --allow-approvals.");
    }
    await ended;
    await dashboard.close();
  });
  return EXIT.ok;
}
