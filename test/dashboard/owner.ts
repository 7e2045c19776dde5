import { mkdtemp, rm } from "node:fs/promises";
import { request } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { takeWord } from "../../src/buyer/approvals.ts";
import type { ApprovalRequest } from "../../src/buyer/types.ts";
import { configSchema, type Config } from "../../src/config/schema.ts";
import { serveDashboard, type Dashboard } from "../../src/dashboard/serve.ts";
import { createReceipt } from "../../src/receipts/receipt.ts";
import type { Receipt } from "../../src/receipts/schema.ts";
import { addReceipt } from "../../src/receipts/store.ts";
import { immediate } from "../../src/storage/migrations.ts";
import { openDatabase, type Db } from "../../src/storage/database.ts";
import { appraisal, receiptCore } from "../support/receipt-core.ts";
import { asset, network, writtenConfig } from "../support/written-config.ts";

/** An answer of the pages. */
export type Answer = { status: number; headers: Record<string, string>; text: string };

/** Sends exactly these headers, the host included. */
export const send = (
  url: string,
  {
    method = "GET",
    headers = {},
    body = "",
  }: { method?: string; headers?: Record<string, string>; body?: string } = {},
): Promise<Answer> =>
  new Promise((resolve, reject) => {
    const ends = "transfer-encoding" in headers || (body === "" && method === "GET");
    const sent = ends ? {} : { "content-length": String(Buffer.byteLength(body)) };
    const outgoing = request(url, { method, headers: { ...sent, ...headers }, agent: false }, (incoming) => {
      let text = "";
      incoming.setEncoding("utf8").on("data", (piece: string) => (text += piece));
      incoming.on("end", () =>
        resolve({ status: incoming.statusCode ?? 0, headers: incoming.headers as Record<string, string>, text }),
      );
      incoming.on("error", reject);
    });
    outgoing.on("error", reject);
    outgoing.end(body);
  });

/** The owner in a browser without script: what its cookie jar, its forms and its links do. */
export type Owner = {
  origin: string;
  /** Before the path of each page. */
  at: string;
  cookie: string;
  get(path: string): Promise<Answer>;
  /** Sends the form of a page as it stands, with this button. */
  press(path: string, answer: string, page?: Answer): Promise<Answer>;
};

/** Signs in by the printed address, as its page's script does. */
export async function signIn(address: string): Promise<Owner> {
  const { origin, hash } = new URL(address);
  const answer = await send(`${origin}/sign-in`, {
    method: "POST",
    headers: { origin, "content-type": "application/json" },
    body: JSON.stringify({ token: hash.slice(1) }),
  });
  const { at } = JSON.parse(answer.text) as { at: string };
  const [cookie = ""] = String(answer.headers["set-cookie"]).split(";");
  const get = (path: string): Promise<Answer> => send(`${origin}${at}${path}`, { headers: { cookie } });
  return {
    origin,
    at,
    cookie,
    get,
    async press(path, pressed, page) {
      const { text } = page ?? (await get(path));
      const form = new URLSearchParams({ answer: pressed });
      for (const name of ["shown", "seal"])
        form.set(name, new RegExp(`name="${name}" value="([^"]*)"`).exec(text)?.[1] ?? "");
      return send(`${origin}${at}${path}`, {
        method: "POST",
        headers: { cookie, origin, "content-type": "application/x-www-form-urlencoded" },
        body: form.toString(),
      });
    },
  };
}

/** A database of its own with its pages. */
export type Place = {
  config: Config;
  db: Db;
  /** The pages' time, and the time of what waits. */
  clock: { now: number };
  serve(options?: { allowApprovals?: boolean }): Promise<Dashboard>;
  /** Has a payment wait for the owner; its id. */
  ask(change?: Partial<ApprovalRequest> & { input?: unknown; besides?: string }): Promise<string>;
  stop(): Promise<void>;
};

/** Opens an empty database. */
export async function openPlace(): Promise<Place> {
  const directory = await mkdtemp(join(tmpdir(), "proof402-dashboard-"));
  const config = configSchema.parse({ ...writtenConfig(), database: join(directory, "buyer.db") });
  const db = await openDatabase(config.database);
  const clock = { now: Date.UTC(2026, 10, 2, 9) };
  const served: Dashboard[] = [];
  let asked = 0;
  return {
    config,
    db,
    clock,
    async serve(options = {}) {
      const dashboard = await serveDashboard({ config, clock: () => new Date(clock.now), ...options });
      served.push(dashboard);
      return dashboard;
    },
    async ask({ input = { features: [0.5] }, besides = "", ...change } = {}) {
      asked += 1;
      const digest = String(asked).padStart(64, "0");
      const question: ApprovalRequest = {
        message: "",
        digest,
        idempotencyKey: `key-${asked}`,
        money: "not-moved",
        sellerId: "honest",
        model: "eth-risk",
        payTo: `0x${"cd".repeat(20)}`,
        network,
        asset: `0x${asset.asset.slice(2)}`,
        amount: "12500000",
        ...change,
      };
      const word = await takeWord(db, { question, alike: digest, input, besides }, clock.now);
      if (word.kind !== "waits") throw new Error(word.kind);
      return word.id;
    },
    async stop() {
      await Promise.all(served.map((one) => one.close()));
      await db.destroy();
      await rm(directory, { recursive: true, force: true });
    },
  };
}

/** Text that a seller could write to run in a page, or in an accountant's table. */
export const HOSTILE = `=cmd|' /C calc'!A1"><script>document.title="owned"</script><img src=x onerror="document.title='owned'">\u202Egnp`;

const VERDICT_OF = ["verified", "verified", "pending", "failed", "unverified"] as const;

/** Stores this many receipts, one a minute, the last of them now; every tenth names its model with hostile text. */
export async function fillReceipts(db: Db, count: number, now: number): Promise<Receipt[]> {
  return immediate(db, async (tx) => {
    const stored: Receipt[] = [];
    for (let at = 0; at < count; at += 1) {
      const time = new Date(now - (count - 1 - at) * 60_000);
      const core = receiptCore(`filled ${at} ${now}`);
      const model = at % 10 === 9 ? HOSTILE : core.request.model;
      const receipt = createReceipt({
        ...core,
        seller: { ...core.seller, id: at % 2 === 0 ? "honest" : "another" },
        request: { ...core.request, model, sentAt: new Date(time.getTime() - 900).toISOString() },
        response: { ...core.response, receivedAt: new Date(time.getTime() - 400).toISOString() },
      });
      const verdict = VERDICT_OF[at % VERDICT_OF.length] ?? "failed";
      const judged = appraisal({ verdict, assurance: at % 4 === 0 ? "attested" : "signed", at: time.toISOString() });
      stored.push(await addReceipt(tx, receipt, judged, time));
    }
    return stored;
  });
}

/** What a waiting call finds: whether a word was given on it. */
export const stateOf = async (db: Db, id: string): Promise<string | undefined> =>
  (await db.selectFrom("approvals").select("state").where("id", "=", id).executeTakeFirst())?.state;
