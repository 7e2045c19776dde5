import { toBase64, utf8 } from "../../evidence/bytes.ts";
import { isRecord } from "../../evidence/record.ts";

/** A call's payment (x402 specs/transports-v2/mcp.md) as the header of HTTP, or undefined. */
export function paymentIn(meta: unknown): string | undefined {
  const brought = isRecord(meta) ? meta["x402/payment"] : undefined;
  return brought === undefined ? undefined : toBase64(utf8(JSON.stringify(brought)));
}

/**
 * A request to the tools, for the limits before it: whether it calls one, and its payment as the header of HTTP. Anything that cannot
 * be read counts as a call. Opening, listing and the protocol's other messages cost no work.
 */
export function calledIn(text: string): { calls: boolean; payment: string | null } {
  try {
    const message: unknown = JSON.parse(text);
    if (!isRecord(message)) return { calls: true, payment: null };
    const { method, params } = message;
    if (method !== "tools/call") return { calls: false, payment: null };
    return { calls: true, payment: (isRecord(params) ? paymentIn(params["_meta"]) : undefined) ?? null };
  } catch {
    return { calls: true, payment: null };
  }
}
