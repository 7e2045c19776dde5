import { ResourceNotFoundError, ResourceTemplate, type McpServer } from "@modelcontextprotocol/server";
import type { Buyer } from "proof402";

const SCHEME = "decision://";
const LISTED = 50;
const COMPLETED = 20;

/** Offers recorded decisions as resources. A recorded decision never changes, so none is ever updated. */
export function offerDecisions(server: McpServer, buyer: () => Promise<Buyer>): void {
  server.registerResource(
    "decision",
    new ResourceTemplate(`${SCHEME}{id}`, {
      list: async () => ({
        resources: (await recent(buyer, LISTED)).map(({ id, purpose, subject }) => ({
          uri: SCHEME + id,
          name: id,
          title: `${purpose}: ${subject}`.slice(0, 200),
          mimeType: "application/json",
        })),
      }),
      complete: { id: async (begun) => completed(await recent(buyer, 1000), begun) },
    }),
    {
      title: "Decision",
      description: "A recorded decision with its receipts and their verdicts of then.",
      mimeType: "application/json",
    },
    async (uri, { id }) => ({
      contents: [
        { uri: uri.href, mimeType: "application/json", text: JSON.stringify(await read(buyer, uri, String(id))) },
      ],
    }),
  );
}

/** The code of an error of ours, else null. Loads the errors' class no earlier than there is an error. */
export async function codeOf(error: unknown): Promise<string | null> {
  const { Proof402Error } = await import("proof402/tools");
  return Proof402Error.isInstance(error) ? error.code : null;
}

/** Ids that begin so, the newest first. */
export const completed = (known: readonly { id: string }[], begun: string): string[] =>
  known.flatMap(({ id }) => (id.startsWith(begun) ? [id] : [])).slice(0, COMPLETED);

async function recent(buyer: () => Promise<Buyer>, limit: number) {
  try {
    return await (await buyer()).decisions({ limit });
  } catch (error) {
    // Clients list at their start: without a configuration there are none, and the tools say what is missing.
    if ((await codeOf(error)) !== null) return [];
    throw error;
  }
}

async function read(buyer: () => Promise<Buyer>, uri: URL, id: string) {
  try {
    return await (await buyer()).decision(id);
  } catch (error) {
    if ((await codeOf(error)) === "decision_not_found") throw new ResourceNotFoundError(uri.href);
    throw error;
  }
}
