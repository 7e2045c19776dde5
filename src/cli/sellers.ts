import type { Command } from "commander";
import type { SellerView } from "../buyer/types.ts";
import { Proof402Error } from "../errors.ts";
import { holdText } from "../market/choose.ts";
import { EXIT, globals, print, printResult } from "./globals.ts";
import { inCommands } from "./next.ts";
import { withBuyer } from "./session.ts";

/** Names the command that ends a seller's hold. */
export const releaseText = (id: string): string =>
  `Only if you still trust it, buy from it again after: proof402 sellers release ${id}`;

/** Names the command to look at a hold with. An agent follows it, so it releases nothing. */
const reasonText = ({ id, hold }: SellerView): string =>
  `Nothing is bought from ${id}, which is on hold. See why with: proof402 ${hold?.receiptId == null ? "spending" : `receipts show ${hold.receiptId}`}`;

/** `proof402 sellers`: every configured seller, and why nothing is bought from those on hold. */
export async function listSellers(_options: unknown, command: Command): Promise<number> {
  const { json = false, ...rest } = globals(command);
  const sellers = await withBuyer(rest, (buyer) => buyer.sellers());
  const held = sellers.find(({ hold }) => hold !== null);
  const add = "No seller is configured yet. Add one with: proof402 sellers add URL";
  const next = sellers.length === 0 ? add : "See what they sell with: proof402 models";
  if (json) printResult({ sellers }, held === undefined ? next : reasonText(held));
  else if (sellers.length === 0) print(add);
  for (const { id, origin, assurance, hold } of json ? [] : sellers)
    print(
      hold === null
        ? `${id} ${origin ?? "by its registry"} (${assurance}): ready`
        : `${id} ${origin ?? "by its registry"} (${assurance}): ON HOLD since ${hold.since}: ${holdText(hold)}. ${releaseText(id)}`,
    );
  return EXIT.ok;
}

/** `proof402 sellers release`: lets a seller be bought from again. */
export async function releaseSeller(id: string, _options: unknown, command: Command): Promise<number> {
  const { json = false, ...rest } = globals(command);
  await withBuyer(rest, async (buyer) => {
    const sellers = await buyer.sellers();
    // A seller that was taken out of the configuration may still be on hold.
    await buyer.releaseSeller(id).catch((error: unknown) => {
      const known = sellers.some((seller) => seller.id === id);
      if (known || !Proof402Error.isInstance(error) || error.code !== "seller_not_on_hold") throw error;
      throw new Proof402Error("seller_not_found", `No seller "${id.slice(0, 64)}" is configured.`, {
        next: sellers.length === 0 ? "No seller is." : `Name one of: ${sellers.map((seller) => seller.id).join(", ")}.`,
      });
    });
  });
  if (json) printResult({ released: id }, inCommands({ do: "buy" }));
  else print(`${id} may be bought from again. Its next failure puts it on hold again.`);
  return EXIT.ok;
}
