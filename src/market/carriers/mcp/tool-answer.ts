import { toBase64, utf8 } from "../../../evidence/bytes.ts";
import { canonicalJson } from "../../../evidence/canonical.ts";
import { responsePartOf, SIGNATURE_KEY } from "../../../evidence/tool-parts.ts";
import { membersIn } from "../../../evidence/json-text.ts";
import { isRecord } from "../../../evidence/record.ts";
import { TEE_HEADERS } from "../../../evidence/tee-signature.ts";
import type { HttpResponse } from "../../../http/client.ts";
import type { Carried } from "../carrier.ts";
import { isStream } from "./message.ts";

/** Longest text of a result that is read for an offer, characters. */
const MAX_OFFER = 65_536;
/** Longest settlement that is handed on, bytes of JSON: a header of HTTP has no more room. */
const MAX_SETTLEMENT = 16_384;

/**
 * The answer to a call of a tool, in the terms of HTTP:
 *
 * - 402: the result is an error that holds an offer, or the error of JSON-RPC has the code 402.
 * - 200: it is a result, and no error. An offer in it is a part of the answer, and nothing is paid for it.
 * - 500 if it was paid, else 400: the tool says that it failed. The same payment may still bring an answer.
 * - 502 if it was paid, else 400 or 404: an error of the protocol.
 * - Any other status is the server's own. One that says the server knows no such address or form is a 502.
 *
 * The body of 200 and 500 is `responsePartOf` the result, that of a 402 its offer, any other as it came. A stream without
 * the response is the beginning of an answer.
 */
export function readToolAnswer(response: HttpResponse, text: string | null, isPaid: boolean): Carried {
  const { status } = response;
  const bare: Carried = { ...response, headers: {} };
  if (text === null) {
    if (status !== 200) return { ...bare, status: isOwn(status) ? status : 502 };
    if (response.body.length === 0 || response.cut !== null) return bare;
    return isStream(response.headers) ? { ...bare, cut: "broken_off" } : { ...bare, status: 502 };
  }
  const whole: Carried = { ...bare, cut: null };
  const members = membersIn(text);
  const part = responsePartOf(members?.get("result") ?? "");
  const message = JSON.parse(text) as Record<string, unknown>;
  if (members === null) return { ...whole, status: 502 };
  const { result, error } = message;
  if (isRecord(error)) return failed(whole, error, isPaid);
  if (!isRecord(result) || part === null) return { ...whole, status: 502 };
  const headers = headersIn(result["_meta"]);
  const type = result["resultType"] ?? "complete";
  const asked = result["isError"] === true || type === "payment_required" ? offerIn(result) : null;
  if (asked !== null) {
    const body = asked.required === null ? new Uint8Array() : utf8(JSON.stringify(asked.required));
    return { ...whole, status: 402, headers, body, ...(asked.inMeta ? { form: "text" } : {}) };
  }
  if (type !== "complete") return { ...whole, status: 502 };
  if (result["isError"] !== true) return { ...whole, status: 200, headers, body: utf8(part) };
  return { ...whole, status: isPaid ? 500 : 400, headers, body: utf8(part) };
}

/** Tells the statuses with one meaning for requests and for calls of tools. */
const isOwn = (status: number): boolean =>
  status >= 500 || (status >= 300 && status <= 399) || [401, 403, 408, 425, 429].includes(status);

function failed(whole: Carried, { code, data }: Record<string, unknown>, isPaid: boolean): Carried {
  if (code === 402 && isRequired(data)) return { ...whole, status: 402, body: utf8(JSON.stringify(data)) };
  const status = isPaid ? 502 : code === -32602 ? 400 : code === -32601 ? 404 : 502;
  return { ...whole, status };
}

/** An offer in a result. `required` is null if the result says two things: neither is an offer then. */
type Asked = { required: Record<string, unknown> | null; inMeta: boolean };

function offerIn({ structuredContent, content, paymentRequired, _meta: meta }: Record<string, unknown>): Asked | null {
  const inMeta = isRecord(meta) ? meta["x402/error"] : null;
  const told = [structuredContent, paymentRequired, inMeta, offerInText(content)].filter(isRequired);
  const [required, ...others] = told;
  if (required === undefined) return null;
  const same = others.every((other) => isSame(other, required));
  return { required: same ? required : null, inMeta: required === inMeta };
}

const isRequired = (value: unknown): value is Record<string, unknown> =>
  isRecord(value) && typeof value["x402Version"] === "number" && Array.isArray(value["accepts"]);

function offerInText(content: unknown): unknown {
  const first: unknown = Array.isArray(content) ? content[0] : null;
  const text = isRecord(first) && first["type"] === "text" ? first["text"] : null;
  if (typeof text !== "string" || text.length > MAX_OFFER || membersIn(text) === null) return null;
  return JSON.parse(text);
}

function isSame(one: Record<string, unknown>, other: Record<string, unknown>): boolean {
  const termsOf = ({ x402Version, accepts, resource }: Record<string, unknown>): string =>
    toBase64(canonicalJson({ x402Version, accepts, resource: resource ?? null }));
  try {
    return termsOf(one) === termsOf(other);
  } catch {
    return false;
  }
}

/** A result's settlement and signature as HTTP has them. */
function headersIn(meta: unknown): Record<string, string> {
  if (!isRecord(meta)) return {};
  const settled = [meta["x402/payment-response"], meta["x402.payment-response"]].flatMap((said) => {
    const json = isRecord(said) ? utf8(JSON.stringify(said)) : null;
    return json === null || json.length > MAX_SETTLEMENT ? [] : [toBase64(json)];
  });
  const signed = isRecord(meta[SIGNATURE_KEY]) ? meta[SIGNATURE_KEY] : {};
  return {
    ...(settled.length === 0 ? {} : { "payment-response": settled.join(",") }),
    ...Object.fromEntries(
      Object.values(TEE_HEADERS).flatMap((name) => (typeof signed[name] === "string" ? [[name, signed[name]]] : [])),
    ),
  };
}
