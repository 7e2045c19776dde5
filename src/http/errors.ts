import { AssertionError } from "node:assert";
import { errors } from "undici/index.js";
import { Proof402Error, type ErrorCode } from "../errors.ts";

/** Largest response head read, bytes. */
export const MAX_HEADER_BYTES = 32_768;

const ANOTHER_SELLER = "Choose another seller.";
const LATER = "Try again later or choose another seller.";

export const urlRefused = (): Proof402Error =>
  new Proof402Error("http_url_refused", "Only http and https addresses without user information are requested.", {
    next: "Correct the seller's origin in the configuration.",
    details: { requestSent: false },
  });

export const addressRefused = (host: string): Proof402Error =>
  new Proof402Error("http_address_refused", `"${host}" is, or leads to, an address of this machine or its network.`, {
    next: "Set http.allowPrivateAddresses only for a market you run yourself.",
    details: { requestSent: false },
  });

export const redirectRefused = (status: number): Proof402Error =>
  new Proof402Error("http_redirect_refused", `The server answered with a redirect (${status}).`, {
    next: "Redirects are never followed. Correct the seller's origin if it has moved.",
    details: { requestSent: true, status },
  });

/** `which` completes "another TLS certificate than the one ...". */
export const certificateRefused = (
  host: string,
  requestSent: boolean,
  which = "its attestation names",
): Proof402Error =>
  new Proof402Error("http_certificate_refused", `${host} shows another TLS certificate than the one ${which}.`, {
    next: "Call again to attest the seller again, or choose another seller.",
    details: { requestSent },
  });

export const encodingRefused = (): Proof402Error =>
  new Proof402Error("http_encoding_refused", "The server compressed its answer although it was asked not to.", {
    next: ANOTHER_SELLER,
    details: { requestSent: true },
  });

export const bodyTooLarge = (limit: number): Proof402Error =>
  new Proof402Error("http_body_too_large", `The answer is larger than ${limit} bytes.`, {
    next: "Choose another seller, or have the owner raise http.maxResponseBytes.",
    details: { requestSent: true, limit },
  });

export const malformed = (host: string, cause: string): Proof402Error =>
  new Proof402Error("http_malformed", `${host} did not answer in proper HTTP.`, {
    next: ANOTHER_SELLER,
    details: { requestSent: true, cause },
  });

export const timedOut = (host: string, requestSent: boolean): Proof402Error =>
  new Proof402Error("http_timeout", `${host} took too long.`, { next: LATER, details: { requestSent } });

export const aborted = (requestSent: boolean): Proof402Error =>
  new Proof402Error("http_aborted", "The request was aborted by its caller.", {
    next: "Call again.",
    details: { requestSent },
  });

/** Why only the beginning of an answer is there. */
export type Cut = "too_large" | "too_slow" | "broken_off";

const CUTS: Readonly<Partial<Record<ErrorCode, Cut>>> = {
  http_body_too_large: "too_large",
  // In the middle of a body these are its trailers.
  http_headers_too_large: "broken_off",
  http_timeout: "too_slow",
  http_interrupted: "broken_off",
  http_malformed: "broken_off",
};

/** How an error in the middle of a body cuts it; null of our own end. */
export const cutBy = ({ code }: Proof402Error): Cut | null => CUTS[code] ?? null;

/** Whether the other side closed or reset the connection. */
export const isBrokenConnection = (error: Error): boolean =>
  (error instanceof errors.SocketError && !isMalformed(error)) ||
  ("code" in error && (error.code === "ECONNRESET" || error.code === "EPIPE"));

/**
 * Whether undici's parser refused what came. It has no error of its own for an unasked answer (`bad response`:
 * 100; `bad upgrade`: 101), and asserts that no status is below 100.
 */
const isMalformed = (error: unknown): boolean =>
  error instanceof errors.HTTPParserError ||
  error instanceof errors.ResponseContentLengthMismatchError ||
  (error instanceof errors.SocketError && /^bad (?:response|upgrade)$/.test(error.message)) ||
  error instanceof AssertionError;

/** What an error of the transport means. It carries the host and a code, and nothing of what was sent or received. */
export function ofTransport(error: unknown, host: string, requestSent: boolean): Proof402Error {
  if (Proof402Error.isInstance(error)) return error;
  const cause = error instanceof Error && "code" in error ? String(error.code) : "unknown";
  if (
    error instanceof errors.ConnectTimeoutError ||
    error instanceof errors.HeadersTimeoutError ||
    error instanceof errors.BodyTimeoutError
  ) {
    return timedOut(host, requestSent);
  }
  if (error instanceof errors.HeadersOverflowError) {
    return new Proof402Error("http_headers_too_large", `${host} sent more than ${MAX_HEADER_BYTES} bytes of headers.`, {
      next: ANOTHER_SELLER,
      details: { requestSent, limit: MAX_HEADER_BYTES },
    });
  }
  if (isMalformed(error)) return malformed(host, cause);
  if (error instanceof errors.ClientDestroyedError || error instanceof errors.ClientClosedError) {
    return aborted(requestSent);
  }
  if (error instanceof errors.InvalidArgumentError) {
    return new Proof402Error(
      "http_request_invalid",
      "The request has a method, path or header that HTTP does not allow.",
      {
        next: "Correct the seller's entry in the configuration.",
        details: { requestSent },
      },
    );
  }
  if (requestSent) {
    return new Proof402Error("http_interrupted", `The connection to ${host} broke before the answer was complete.`, {
      next: LATER,
      details: { requestSent, cause },
    });
  }
  return new Proof402Error("http_unreachable", `No connection to ${host} could be made (${cause}).`, {
    next: LATER,
    details: { requestSent, cause },
  });
}
