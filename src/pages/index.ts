/**
 * proof402/pages: a receipt or a report as a page of HTML, and the card for hosts of MCP Apps. Each page loads and sends nothing.
 *
 * @module
 */
export { receiptCard } from "./receipt-card.ts";
export { receiptPage, type ReceiptView } from "./receipt-page.ts";
export { reportPage, type ReportReader } from "./report-page.ts";
