import type { McpServer } from "@modelcontextprotocol/server";

/** The receipt card's address (MCP Apps, 2026-01-26). */
const CARD = "ui://proof402/receipt";
const MIME = "text/html;profile=mcp-app";
/** The tools with a receipt in their results. */
const WITH_RECEIPT: ReadonlySet<string> = new Set(["buy_inference", "get_receipt", "verify_receipt"]);

/** Offers the receipt card to hosts that show one. It connects to nothing, and its host is told so. */
export function offerCard(server: McpServer): void {
  server.registerResource("receipt_card", CARD, { title: "Receipt card", mimeType: MIME }, async (uri) => {
    const { receiptCard } = await import("proof402/pages");
    const csp = { connectDomains: [], resourceDomains: [] };
    return {
      contents: [{ uri: uri.href, mimeType: MIME, text: receiptCard(), _meta: { ui: { csp, prefersBorder: true } } }],
    };
  });
}

/** What a tool's listing says of the card. */
export const cardOf = (tool: string): { _meta?: Record<string, unknown> } =>
  WITH_RECEIPT.has(tool) ? { _meta: { ui: { resourceUri: CARD } } } : {};

/**
 * A mark on a slip of paper: small, as clients get it with each listing. The tools go without: their listing has a bound, all of it
 * counted, and five icons would take a quarter of it.
 */
export const ICON = {
  src: "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 9 9'%3E%3Cpath d='M1 0h7v9l-2-1-2 1-3-1z' fill='%2314713d'/%3E%3Cpath d='M3 4l1 1 2-3' fill='none' stroke='%23fff'/%3E%3C/svg%3E",
  mimeType: "image/svg+xml",
};
