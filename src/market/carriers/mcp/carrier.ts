import { textOf } from "../../../evidence/bytes.ts";
import { paramsWith } from "../../../evidence/tool-parts.ts";
import { membersIn } from "../../../evidence/json-text.ts";
import { isRecord } from "../../../evidence/record.ts";
import { decodeHeader } from "../../../payment/x402-header.ts";
import type { Carried, CarriedRequest, Carrier } from "../carrier.ts";
import type { McpEndpoints } from "./endpoints.ts";
import { readToolAnswer } from "./tool-answer.ts";

/**
 * Calls of MCP tools, paid as x402 writes it for MCP (x402 specs/transports-v2/mcp.md, tool-result binding). The payment is an object
 * in `_meta` of the call. Two dialects take it otherwise, and show so in their offers: Cloudflare's `agents` as base64, x402-mcp of Vercel as
 * base64 under a key of its own with an offer of x402 v1.
 */
export const mcpCarrier = (endpoints: McpEndpoints): Carrier => ({
  async send({ payment, form, url, body, pin, certificateSha256, method: _post, headers: _none, onHead, ...request }) {
    const part = textOf(body ?? new Uint8Array()) ?? "";
    const name: unknown = JSON.parse(membersIn(part)?.get("name") ?? "null");
    const paid = paymentMeta(payment, form);
    const { response, text } = await endpoints.send(
      { url, pin, certificateSha256 },
      {
        method: "tools/call",
        ...(typeof name === "string" ? { name } : {}),
        write: (meta) => paramsWith(part, { ...paid, ...meta }),
      },
      request,
    );
    const answer: Carried = readToolAnswer(response, text, payment !== undefined);
    onHead?.({ status: answer.status, headers: answer.headers });
    return answer;
  },
});

/** The keys of `_meta` that carry a payment. In x402 v1 both spellings carry the same one, so that either dialect finds it. */
function paymentMeta(payment: CarriedRequest["payment"], form: CarriedRequest["form"]): Record<string, unknown> {
  const [second, first] = [payment?.["payment-signature"], payment?.["x-payment"]];
  const objectOf = (header: string): unknown => {
    const value = decodeHeader(header);
    return isRecord(value) ? value : header;
  };
  if (second !== undefined) return { "x402/payment": form === "text" ? second : objectOf(second) };
  return first === undefined ? {} : { "x402/payment": objectOf(first), "x402.payment": first };
}
