import type { Command } from "commander";
import { holdText } from "../market/choose.ts";
import { EXIT, globals, print, printJson } from "./globals.ts";
import { withBuyer } from "./session.ts";

/** `proof402 sellers`: every configured seller, and why nothing is bought from those on hold. */
export async function listSellers(_options: unknown, command: Command): Promise<number> {
  const { json = false, ...rest } = globals(command);
  const sellers = await withBuyer(rest, (buyer) => buyer.sellers());
  if (json) printJson({ sellers });
  for (const { id, origin, assurance, hold } of json ? [] : sellers)
    print(
      hold === null
        ? `${id} ${origin} (${assurance}): ready`
        : `${id} ${origin} (${assurance}): ON HOLD since ${hold.since}: ${holdText(hold)}`,
    );
  return EXIT.ok;
}

/** `proof402 sellers release`: lets a seller be bought from again. */
export async function releaseSeller(id: string, _options: unknown, command: Command): Promise<number> {
  const { json = false, ...rest } = globals(command);
  await withBuyer(rest, (buyer) => buyer.releaseSeller(id));
  if (json) printJson({ released: id });
  else print(`${id} may be bought from again. Its next failure puts it on hold again.`);
  return EXIT.ok;
}
