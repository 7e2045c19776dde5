import type { Context, MiddlewareHandler } from "hono";
import { getCookie, setCookie } from "hono/cookie";
import type { Session, Sessions } from "./sessions.ts";

/** A request's session, once it is known. */
export type Signed = { Variables: { session: Session } };

/** Where a server is found. */
export type Place = {
  port: number;
  /** Drawn at its start: pages lie below it. */
  at: string;
};

/** For every answer: kept by no cache, framed by no page, its address told to no other server. */
const HEADERS: Readonly<Record<string, string>> = {
  "cache-control": "no-store",
  "referrer-policy": "no-referrer",
  "x-content-type-options": "nosniff",
  "x-frame-options": "DENY",
  "cross-origin-opener-policy": "same-origin",
  "cross-origin-resource-policy": "same-origin",
  "permissions-policy": "camera=(), microphone=(), geolocation=(), payment=()",
};

/** The policy of pages after the sign-in: all they load is from this server, and nothing in their markup runs. */
const PAGE_CSP =
  "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'";

/** Most bytes of a form or a sign-in. */
const MOST_BODY = 10_000;

/**
 * Answers only requests by this server's own name: any other name was rebound to this address. Changes have to come from a page
 * of this very origin.
 */
export const guarded =
  ({ port }: Place): MiddlewareHandler =>
  async (c, next) => {
    const own = port === 80 ? "127.0.0.1" : `127.0.0.1:${port}`;
    const refused =
      c.req.header("host") !== own
        ? refuse(c, 403, "The host header names another host than this one.")
        : isForeign(c, `http://${own}`)
          ? refuse(c, 403, "Requests from other pages are not answered.")
          : !isRead(c) && !(Number(c.req.header("content-length")) <= MOST_BODY)
            ? refuse(c, 413, "The body is too large, or does not tell its length.")
            : null;
    if (refused === null) await next();
    else c.res = refused;
    for (const [name, value] of Object.entries(HEADERS)) c.res.headers.set(name, value);
    if (!c.res.headers.has("content-security-policy")) c.res.headers.set("content-security-policy", PAGE_CSP);
  };

const isRead = (c: Context): boolean => c.req.method === "GET" || c.req.method === "HEAD";

/**
 * Whether another page has the browser send this. Pages under `no-referrer` send the origin `null` with their forms (Fetch
 * standard, "append a request Origin header"). The browser itself then says by `sec-fetch-site` if the page is of this origin.
 */
function isForeign(c: Context, own: string): boolean {
  const origin = c.req.header("origin");
  const site = c.req.header("sec-fetch-site");
  if (isRead(c)) return origin !== undefined && origin !== own;
  if (site !== undefined && site !== "same-origin") return true;
  return origin !== own && !(origin === "null" && site === "same-origin");
}

/**
 * Only for browsers that have signed in. Cookies know no ports: another server on this machine gets those of its path. The path
 * of ours is drawn at random, so no other server can have a browser send it there.
 */
export const signedIn =
  (sessions: Sessions, place: Place, clock: () => Date): MiddlewareHandler<Signed> =>
  async (c, next) => {
    const site = c.req.header("sec-fetch-site");
    // A link on another page leads to no page of ours.
    const isOurs = site === undefined || site === "same-origin" || site === "none";
    const path = c.req.path.slice(place.at.length);
    const now = clock().getTime();
    const session = isOurs
      ? secretsIn(c, place)
          .map((secret) => sessions.find(secret, now))
          .find((one) => one !== null && maySee(one, path))
      : undefined;
    if (!session) return refuse(c, 401, "Not signed in. Open the address that proof402 printed.");
    c.set("session", session);
    await next();
  };

/** What pages load, for any session. */
const ASSETS: ReadonlySet<string> = new Set(["/style.css", "/app.js"]);

/** The owner's session sees all pages, that of one payment its own. */
function maySee({ approval }: Session, path: string): boolean {
  if (approval === null || ASSETS.has(path)) return true;
  return path === `/approvals/${approval}` || path === `/approvals/${approval}/answered`;
}

/** A browser has a session of the owner, one for each of several payments, or both: each has a cookie of its own. */
const cookieName = ({ port }: Place, approval: string | null): string =>
  approval === null ? `proof402_${port}` : `proof402_${port}_${approval}`;

const secretsIn = (c: Context, place: Place): string[] =>
  Object.entries(getCookie(c)).flatMap(([name, value]) => {
    const own = cookieName(place, null);
    return name === own || name.startsWith(`${own}_`) ? [value] : [];
  });

/** Keeps a session's secret in the browser: for this path, for no script, and for no request that another site begins. */
export const keep = (c: Context, place: Place, { cookie, session }: { cookie: string; session: Session }): void =>
  setCookie(c, cookieName(place, session.approval), cookie, { path: place.at, httpOnly: true, sameSite: "Strict" });

/** An answer that tells nothing. */
export const refuse = (c: Context, status: 400 | 401 | 403 | 404 | 413, words: string): Response =>
  c.text(`${words}\n`, status);
