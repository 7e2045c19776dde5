import {
  identifierDeclarationSchema,
  identifierExtension,
  PAYMENT_IDENTIFIER,
  type IdentifierDeclaration,
} from "./identifier.ts";
import type { PaymentForm, WireRequest } from "./types.ts";
import { isPortable } from "./x402-header.ts";
import { isRecord } from "../evidence/record.ts";

/**
 * The parts of a 402 that a payment sends back unchanged (x402-specification-v2.md §5.2.2): the requested resource, and
 * the info of the seller's extensions. A client may add to that info and not change it.
 */
export type Echo = {
  resource: (Record<string, unknown> & { url: string }) | null;
  extensions: Record<string, unknown>;
  /** How the seller declares payment identifiers, or null where it does not support them. */
  identifier: IdentifierDeclaration | null;
  /** The one form in which the seller takes payments, as its offer shows. */
  form?: PaymentForm;
};

/**
 * Most JSON sent back, characters: servers take 16 KiB of headers by default, in which base64 makes a third more of it and
 * the payment itself has its place.
 */
const MAX_RESOURCE = 2000;
const MAX_EXTENSIONS = 6000;
const MAX_DEPTH = 32;
const MAX_NAME = 64;

/** Wishes for an allowance: none is given, so nothing is sent back that could be taken for one (threat T11). */
const UNANSWERED: ReadonlySet<string> = new Set(["eip2612GasSponsoring", "erc20ApprovalGasSponsoring"]);

/** What to send back of a PaymentRequired. Of what is too large or odd, nothing is. Throws what JSON cannot carry. */
export function readEcho({ resource, extensions }: { resource?: unknown; extensions?: unknown }): Echo {
  const declared = isRecord(extensions) ? Object.entries(extensions) : [];
  const kept: Record<string, unknown> = {};
  let identifier: Echo["identifier"] = null;
  let left = MAX_EXTENSIONS;
  for (const [name, value] of declared) {
    if (name.length > MAX_NAME || name === "__proto__" || UNANSWERED.has(name)) continue;
    if (!isRecord(value) || !isRecord(value["info"])) continue;
    if (name === PAYMENT_IDENTIFIER) {
      const parsed = identifierDeclarationSchema.safeParse(isSmall(value, MAX_EXTENSIONS) ? value : null);
      identifier = parsed.success ? parsed.data : null;
      continue;
    }
    // The schema says what may be added, which is nothing: without it the info is still whole.
    const echoed = [value, { info: value["info"] }].find((one) => isSmall(one, left));
    if (echoed === undefined) continue;
    kept[name] = echoed;
    left -= JSON.stringify(echoed).length;
  }
  return { resource: readResource(resource), extensions: kept, identifier };
}

/**
 * The parts of a payment that answer an echo, for one request. A resource is sent back only where its URL is the one that
 * is asked: the payment is for no other (threat T26).
 */
export function echoFor(
  { resource, extensions, identifier, form }: Echo,
  secret: string,
  request: WireRequest,
): Pick<WireRequest, "paymentResource" | "paymentExtensions" | "paymentForm"> {
  const sent = { ...extensions, ...(identifier === null ? {} : identifierExtension(identifier, secret, request)) };
  return {
    ...(resource !== null && isSameUrl(resource.url, request.url) ? { paymentResource: resource } : {}),
    ...(Object.keys(sent).length === 0 ? {} : { paymentExtensions: sent }),
    ...(form === undefined ? {} : { paymentForm: form }),
  };
}

function readResource(value: unknown): Echo["resource"] {
  if (!isRecord(value) || typeof value["url"] !== "string") return null;
  const { url } = value;
  if (isSmall(value, MAX_RESOURCE)) return { ...value, url };
  return isSmall(url, MAX_RESOURCE) ? { url } : null;
}

const isSmall = (value: unknown, characters: number): boolean =>
  isPortable(value, MAX_DEPTH) && JSON.stringify(value).length <= characters;

const isSameUrl = (a: string, b: string): boolean => URL.canParse(a) && new URL(a).href === new URL(b).href;
