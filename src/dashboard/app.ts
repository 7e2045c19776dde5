import { Hono, type Context } from "hono";
import { Proof402Error } from "../errors.ts";
import { html } from "../pages/html.ts";
import { streamSSE, type SSEStreamingApi } from "hono/streaming";
import { csvOf } from "../tables/csv.ts";
import { PURCHASE_COLUMNS, purchaseLines } from "../tables/purchases.ts";
import { COLUMNS, receiptLines } from "../tables/receipts.ts";
import { actionPage, actionsPage } from "./actions.ts";
import { answerApproval, approvalPage, approvalsPage } from "./approvals.ts";
import { channelsPage } from "./channels.ts";
import { decisionPage, decisionsPage } from "./decisions.ts";
import { guarded, keep, refuse, signedIn, type Place, type Signed } from "./gate.ts";
import { pageFor } from "./layout.ts";
import { receiptFile, receiptPage } from "./receipt.ts";
import { filterIn, receiptsPage } from "./receipts.ts";
import { releaseSeller, sellersPage } from "./sellers.ts";
import type { Watch } from "./news.ts";
import type { Session, Sessions } from "./sessions.ts";
import { SIGN_IN_CSP, SIGN_IN_PAGE } from "./sign-in.ts";
import { spendingPage } from "./spending.ts";
import { timesPage } from "./times.ts";
import type { Shown, View } from "./view.ts";

/** The ground of all pages, apart from a request's session. */
export type Source = Pick<View, "db" | "config" | "allowApprovals"> & {
  clock: () => Date;
  /** Throws Proof402Error if the database's file is not the opened one any more. */
  requireFile: () => Promise<void>;
  watch: Watch;
  assets: { script: string; style: string };
};

/** The pages of one server: the sign-in for any browser, and all others for those that have signed in. */
export function createApp(source: Source, place: Place, sessions: Sessions): Hono {
  const { at } = place;
  const app = new Hono({ strict: false });
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
    const signedAs = typeof token === "string" ? sessions.signIn(token, source.clock().getTime()) : null;
    if (signedAs === null) return refuse(c, 401, "The token is wrong, or was used before.");
    keep(c, place, signedAs);
    return c.json({ at });
  });

  const pages = new Hono<Signed>({ strict: false });
  pages.use(signedIn(sessions, place, source.clock));
  const viewOf = async (c: Context<Signed>): Promise<View> => {
    await source.requireFile();
    const { db, config, allowApprovals, clock } = source;
    return { db, config, at, allowApprovals, session: c.get("session"), now: clock().getTime() };
  };
  const send = (c: Context<Signed>, shown: Shown): Response | Promise<Response> => {
    const path = c.req.path.slice(at.length);
    const isAlone = c.get("session").approval !== null;
    return c.html(pageFor({ at, allowApprovals: source.allowApprovals, isAlone }, path, shown), shown.status ?? 200);
  };
  const page = (path: string, make: (view: View, c: Context<Signed>) => Promise<Shown>): void =>
    void pages.get(path, async (c) => send(c, await make(await viewOf(c), c)));
  const query = (c: Context): URLSearchParams => new URL(c.req.url).searchParams;

  const { script, style } = source.assets;
  pages.get("/style.css", (c) => c.body(style, 200, { "content-type": "text/css; charset=utf-8" }));
  pages.get("/app.js", (c) => c.body(script, 200, { "content-type": "text/javascript; charset=utf-8" }));
  pages.get("/news", (c) => {
    // Hono answers HEAD by GET and never ends the body: it would keep its place for ever.
    if (c.req.method === "HEAD") return c.body(null, 200, { "content-type": "text/event-stream" });
    return streamSSE(c, (stream) => tellNews(stream, source.watch, c.get("session")));
  });
  const csv = (c: Context<Signed>, name: string, lines: AsyncIterable<string>): Response => {
    c.header("content-disposition", `attachment; filename="${name}"`);
    c.header("content-type", "text/csv; charset=utf-8");
    return c.body(bytesOf(lines));
  };
  pages.get("/receipts.csv", async (c) => {
    const { db, config } = await viewOf(c);
    return csv(c, "receipts.csv", csvOf(receiptLines(db, filterIn(query(c)), config.payment.assets), COLUMNS));
  });
  pages.get("/spending.csv", async (c) => {
    const { db, config } = await viewOf(c);
    return csv(c, "spending.csv", csvOf(purchaseLines(db, config), PURCHASE_COLUMNS));
  });
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
  page("/approvals/:id/answered", (view, c) => approvalPage(view, c.req.param("id") ?? "", { isAnswered: true }));
  page("/spending", (view, c) => spendingPage(view, query(c)));
  page("/times", timesPage);
  page("/sellers", (view) => sellersPage(view));
  page("/decisions", (view, c) => decisionsPage(view, query(c)));
  page("/decisions/:id", (view, c) => decisionPage(view, c.req.param("id") ?? ""));
  page("/actions", (view, c) => actionsPage(view, query(c)));
  page("/actions/:id", (view, c) => actionPage(view, c.req.param("id") ?? ""));
  page("/channels", channelsPage);
  /** A form's address. Its answer leads to a page with the outcome. */
  const form = (
    path: string,
    work: (view: View, id: string, sent: URLSearchParams) => Promise<Shown | null>,
    after: (id: string) => string,
  ): void =>
    void pages.post(path, async (c) => {
      if (!source.allowApprovals) return send(c, READ_ONLY);
      const id = c.req.param("id") ?? "";
      const refused = await work(await viewOf(c), id, new URLSearchParams(await c.req.text()));
      return refused === null ? c.redirect(`${at}${after(encodeURIComponent(id))}`, 303) : send(c, refused);
    });
  form("/approvals/:id", answerApproval, (id) => `/approvals/${id}/answered`);
  form("/sellers/:id/release", releaseSeller, () => "/sellers");
  pages.all("*", (c) => send(c, NOT_FOUND));
  pages.onError((error, c) => send(c, failed(error)));
  app.route(at, pages);
  app.all("*", (c) => refuse(c, 401, "Not signed in. Open the address that proof402 printed."));
  app.onError((_error, c) => c.text("It did not work.\n", 500));
  return app;
}

/** How often a silent stream shows that it lives, ms. */
const BEAT_MS = 15_000;

/** A browser opens six connections to a server: so many of them carry news, and pages load over the others. */
const MOST_STREAMS = 4;

/** Tells a page what changes, until it is gone. Past the most streams of a session it tells the page to look by itself. */
async function tellNews(stream: SSEStreamingApi, watch: Watch, session: Session): Promise<void> {
  if (session.streams >= MOST_STREAMS) {
    await stream.writeSSE({ event: "enough", data: "" });
    return;
  }
  session.streams += 1;
  await new Promise<void>((resolve) => {
    const beat = setInterval(() => void stream.write(": \n\n"), BEAT_MS);
    beat.unref();
    const off = watch.on((news) => void stream.writeSSE({ event: "news", data: JSON.stringify(news) }));
    void stream.write(": \n\n");
    stream.onAbort(() => {
      clearInterval(beat);
      off();
      session.streams -= 1;
      resolve();
    });
  });
}

/** Text as a body, read as fast as its reader takes it. */
function bytesOf(pieces: AsyncIterable<string>): ReadableStream<Uint8Array> {
  const iterator = pieces[Symbol.asyncIterator]();
  const encoder = new TextEncoder();
  return new ReadableStream({
    async pull(controller) {
      const next = await iterator.next();
      if (next.done === true) controller.close();
      else controller.enqueue(encoder.encode(next.value));
    },
    async cancel() {
      await iterator.return?.();
    },
  });
}

const READ_ONLY: Shown = {
  status: 403,
  title: "Read-only",
  body: html`<p>Nothing was answered. Start it with <code>proof402 open --allow-approvals</code> to answer here.</p>`,
};
const NOT_FOUND: Shown = { status: 404, title: "No such page", body: html`<p>Nothing is at this address.</p>` };

/** Errors by an address that names nothing, or not one thing alone. */
const MISSING: ReadonlySet<string> = new Set([
  "receipt_not_found",
  "receipt_ambiguous",
  "decision_not_found",
  "decision_ambiguous",
  "action_not_found",
]);

/** An error that ended a page, in words. One that is not ours may tell anything, so its words stay away. */
function failed(error: unknown): Shown {
  const ours = Proof402Error.isInstance(error) ? error : null;
  const isMissing = ours !== null && MISSING.has(ours.code);
  return {
    status: isMissing ? 404 : 503,
    title: isMissing ? "Not found" : "The database could not be read",
    body: html`<p role="alert">
      ${ours === null ? "The database gave an error." : `${ours.code}: ${ours.message}`} Nothing was changed by this
      page. ${ours === null ? "Load the page again; if it stays, end this program and start it again." : ours.next}
    </p>`,
  };
}
