import {
  ResourceNotFoundError,
  ResourceTemplate,
  type McpRequestContext,
  type McpServer,
} from "@modelcontextprotocol/server";
import type { Buyer, Receipt } from "proof402";
import { codeOf, completed } from "./decisions.ts";

const SCHEME = "receipt://";
const LISTED = 50;
/** Receipts that a completion is made from, the newest. */
const COMPLETED_FROM = 200;

/**
 * Offers stored receipts as resources and tells subscribers when one changes. Returns the way to the buyer that tools
 * must use: changes are watched from the moment it is opened.
 */
export function offerReceipts(
  server: McpServer,
  open: () => Promise<Buyer>,
  { era, watches }: { era: McpRequestContext["era"]; watches: boolean },
): () => Promise<Buyer> {
  const isWanted = era === "legacy" ? keepSubscriptions(server) : (): boolean => true;
  let unsubscribe: (() => void) | null = null;
  const buyer = async (): Promise<Buyer> => {
    const opened = await open();
    if (watches)
      unsubscribe ??= opened.onReceipt(({ id }) => {
        const uri = SCHEME + id;
        // A client that is going away misses nothing: the receipt is stored.
        if (isWanted(uri)) server.server.sendResourceUpdated({ uri }).catch(() => undefined);
      });
    return opened;
  };
  const { server: connection } = server;
  const closed = connection.onclose;
  // oxlint-disable-next-line unicorn/prefer-add-event-listener -- the SDK has no listeners here
  connection.onclose = () => {
    unsubscribe?.();
    closed?.();
  };

  server.registerResource(
    "receipt",
    new ResourceTemplate(`${SCHEME}{id}`, {
      list: async () => ({ resources: await listed(buyer) }),
      complete: { id: async (begun) => completed(await recent(buyer, COMPLETED_FROM), begun) },
    }),
    {
      title: "Proof receipt",
      description: "A stored proof receipt with its evidence, as a self-contained file.",
      mimeType: "application/json",
    },
    async (uri, { id }) => ({
      contents: [{ uri: uri.href, mimeType: "application/json", text: await read(buyer, uri, String(id)) }],
    }),
  );
  return buyer;
}

/** Since 2026-07-28 the SDK keeps what clients listen to; before, the server does. */
function keepSubscriptions({ server }: McpServer): (uri: string) => boolean {
  const wanted = new Set<string>();
  server.setRequestHandler("resources/subscribe", ({ params }) => {
    if (wanted.size < 1000) wanted.add(params.uri);
    return {};
  });
  server.setRequestHandler("resources/unsubscribe", ({ params }) => {
    wanted.delete(params.uri);
    return {};
  });
  return (uri) => wanted.has(uri);
}

const listed = async (
  buyer: () => Promise<Buyer>,
): Promise<{ uri: string; name: string; title: string; mimeType: string }[]> =>
  (await recent(buyer, LISTED)).map((receipt) => ({
    uri: SCHEME + receipt.id,
    name: receipt.id,
    title: `${receipt.core.request.model} from ${receipt.core.seller.id}: ${receipt.appraisals.at(-1)?.verdict ?? "not judged"}`,
    mimeType: "application/json",
  }));

async function recent(buyer: () => Promise<Buyer>, limit: number): Promise<Receipt[]> {
  try {
    return await (await buyer()).listReceipts({ limit });
  } catch (error) {
    // Clients list at their start: without a configuration there are no receipts, and the tools say what is missing.
    if ((await codeOf(error)) !== null) return [];
    throw error;
  }
}

async function read(buyer: () => Promise<Buyer>, uri: URL, id: string): Promise<string> {
  try {
    const receipt = await (await buyer()).getReceipt(id);
    // The verifier is heavy: a client that reads no receipt does not wait for it.
    const { serializeReceipt } = await import("proof402/verify");
    return new TextDecoder().decode(serializeReceipt(receipt));
  } catch (error) {
    if ((await codeOf(error)) === "receipt_not_found") throw new ResourceNotFoundError(uri.href);
    throw error;
  }
}
