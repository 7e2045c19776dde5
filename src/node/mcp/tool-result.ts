import { decodePaymentResponseHeader } from "@x402/core/http";
import { isRecord } from "../../evidence/record.ts";
import { SIGNATURE_KEY } from "../../evidence/tool-parts.ts";
import { TEE_HEADERS } from "../../evidence/tee-signature.ts";

/** A result of a tool (Model Context Protocol, `CallToolResult`). */
export type ToolResult = { content: { type: "text"; text: string }[]; [field: string]: unknown };

/**
 * The counter's answer over HTTP as a result (x402 specs/transports-v2/mcp.md, tool-result binding). Only an answer of 200 holds content.
 * A 402 is an error with the offer, in both forms; `offered` is one for it, if it has none of its own. Any other error says when to come
 * again, if HTTP would: `retryAfter`, seconds.
 */
export async function resultOf(
  answer: Response,
  offered: () => Promise<Record<string, unknown> | null>,
): Promise<ToolResult> {
  const body: unknown = await answer.json();
  const said = isRecord(body) ? body : {};
  const meta = metaOf(answer.headers);
  if (answer.status === 200) return { ...(said as ToolResult), ...meta };
  const wait = answer.headers.get("retry-after");
  const later = wait === null ? {} : { retryAfter: Number(wait) };
  if (answer.status !== 402) return { isError: true, content: [textOf({ ...said, ...later })], ...meta };
  const required = Array.isArray(said["accepts"]) ? said : { ...(await offered()), ...said };
  return { isError: true, structuredContent: required, content: [textOf(required)], ...meta };
}

/** An error of the call itself, without a payment. */
export const errorResult = (error: string): ToolResult => ({ isError: true, content: [textOf({ error })] });

const textOf = (value: Record<string, unknown>): ToolResult["content"][number] => ({
  type: "text",
  text: JSON.stringify(value),
});

/** The settlement and the signature, which over HTTP are headers. */
function metaOf(headers: Headers): { _meta?: Record<string, unknown> } {
  const settled = headers.get("payment-response");
  const signed = Object.values(TEE_HEADERS).flatMap((name) => {
    const value = headers.get(name);
    return value === null ? [] : [[name, value] as const];
  });
  const meta = {
    ...(settled === null ? {} : { "x402/payment-response": decodePaymentResponseHeader(settled) }),
    ...(signed.length === 0 ? {} : { [SIGNATURE_KEY]: Object.fromEntries(signed) }),
  };
  return Object.keys(meta).length === 0 ? {} : { _meta: meta };
}
