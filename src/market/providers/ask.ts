import type { Http, HttpResponse } from "../../http/client.ts";
import type { Seller } from "../types.ts";

/** Asks a seller for what stands at a path, of at most so many bytes. Throws the HTTP room's Proof402Error. */
export type Ask = (seller: Seller, path: string, maxBytes: number, signal?: AbortSignal) => Promise<HttpResponse>;

/** The one way of providers to a seller: at its origin, and under its pinned certificate. */
export const createAsk =
  (http: Http): Ask =>
  (seller, path, maxBytes, signal) =>
    http.request({
      method: "GET",
      url: `${seller.origin}${path}`,
      maxBytes,
      signal,
      pin: seller.certificateSha256,
    });
