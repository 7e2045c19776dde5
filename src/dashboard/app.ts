import { Hono, type Context } from "hono";
import { Proof402Error } from "../errors.ts";
import { html } from "../pages/html.ts";
import { answerApproval, approvalPage, approvalsPage } from "./approvals.ts";
import { guarded, keep, refuse, signedIn, type Place, type Signed } from "./gate.ts";
import { pageFor } from "./layout.ts";
import { receiptFile, receiptPage } from "./receipt.ts";
import { receiptsPage } from "./receipts.ts";
import type { Sessions } from "./sessions.ts";
import { SIGN_IN_CSP, SIGN_IN_PAGE } from "./sign-in.ts";
import { STYLE } from "./style.ts";
import type { Shown, View } from "./view.ts";

/** The ground of all pages, apart from a request's session. */
export type Source = Pick<View, "db" | "config" | "allowApprovals"> & {
  clock: () => Date;
  /** Throws Proof402Error if the database's file is not the opened one any more. */
  requireFile: () => Promise<void>;
};

/** The pages of one server: the sign-in for any browser, and all others for those that have signed in. */
export function createApp(source: Source, place: Place, sessions: Sessions): Hono {
  const { at } = place;
  const app = new Hono();
  app.use(guarded(place));

  // No browser needs a session for this page, and it is the same for each path.
  const signIn = (c: Context): Response | Promise<Response> => {
    c.header("content-security-policy", SIGN_IN_CSP);
    return c.html(SIGN_IN_PAGE);
  };
  app.get("/", signIn);
  app.get("/approvals/:id", signIn);
  app.post("/sign-in", async (c) => {
    if (!/^application\/json\b/i.test(c.req.header("content-type") ?? ""))
      return refuse(c, 400, "Not announced as JSON.");
    const given: unknown = await c.req.json().catch(() => null);
    const { token } = (given ?? {}) as { token?: unknown };
    const secret = typeof token === "string" ? sessions.signIn(token) : null;
    if (secret === null) return refuse(c, 401, "The token is wrong.");
    keep(c, place, secret);
    return c.json({ at });
  });

  const pages = new Hono<Signed>();
  pages.use(signedIn(sessions, place));
  const viewOf = async (c: Context<Signed>): Promise<View> => {
    await source.requireFile();
    const { db, config, allowApprovals, clock } = source;
    return { db, config, at, allowApprovals, session: c.get("session"), now: clock().getTime() };
  };
  const send = (c: Context<Signed>, shown: Shown): Response | Promise<Response> => {
    const path = c.req.path.slice(at.length);
    return c.html(pageFor({ at, allowApprovals: source.allowApprovals }, path, shown), shown.status ?? 200);
  };
  const page = (path: string, make: (view: View, c: Context<Signed>) => Promise<Shown>): void =>
    void pages.get(path, async (c) => send(c, await make(await viewOf(c), c)));
  const query = (c: Context): URLSearchParams => new URL(c.req.url).searchParams;

  pages.get("/style.css", (c) => c.body(STYLE, 200, { "content-type": "text/css; charset=utf-8" }));
  pages.get("/", (c) => c.redirect(`${at}/receipts`, 302));
  page("/receipts", (view, c) => receiptsPage(view, query(c)));
  page("/receipts/:id", (view, c) => receiptPage(view, c.req.param("id") ?? ""));
  pages.get("/receipts/:id/file", async (c) => {
    const { name, bytes } = await receiptFile(await viewOf(c), c.req.param("id"));
    c.header("content-disposition", `attachment; filename="${name}"`);
    return c.body(bytes, 200, { "content-type": "application/json" });
  });
  page("/approvals", approvalsPage);
  page("/approvals/:id", (view, c) => approvalPage(view, c.req.param("id") ?? ""));
  pages.post("/approvals/:id", async (c) => {
    if (!source.allowApprovals) return send(c, READ_ONLY);
    const id = c.req.param("id");
    const form = new URLSearchParams(await c.req.text());
    const refused = await answerApproval(await viewOf(c), id, form);
    return refused === null ? c.redirect(`${at}/approvals/${encodeURIComponent(id)}`, 303) : send(c, refused);
  });
  pages.all("*", (c) => send(c, NOT_FOUND));
  pages.onError((error, c) => send(c, failed(error)));
  app.route(at, pages);
  app.all("*", (c) => refuse(c, 401, "Not signed in. Open the address that proof402 printed."));
  app.onError((_error, c) => c.text("It did not work.\n", 500));
  return app;
}

const READ_ONLY: Shown = {
  status: 403,
  title: "Read-only",
  body: html`<p>Nothing was answered. Start it with <code>proof402 open --allow-approvals</code> to answer here.</p>`,
};
const NOT_FOUND: Shown = { status: 404, title: "No such page", body: html`<p>Nothing is at this address.</p>` };

/** An error that ended a page, in words. One that is not ours may tell anything, so its words stay away. */
function failed(error: unknown): Shown {
  const ours = Proof402Error.isInstance(error) ? error : null;
  const isMissing =
    ours?.code === "receipt_not_found" || ours?.code === "decision_not_found" || ours?.code === "action_not_found";
  return {
    status: isMissing ? 404 : 503,
    title: isMissing ? "Not found" : "The database could not be read",
    body: html`<p role="alert">
      ${ours === null ? "The database gave an error." : `${ours.code}: ${ours.message}`} Nothing was changed by this
      page. ${ours === null ? "Load the page again; if it stays, end this program and start it again." : ours.next}
    </p>`,
  };
}
