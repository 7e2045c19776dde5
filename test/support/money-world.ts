import { copyFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { openBuyer } from "../../src/buyer/open.ts";
import { pendingApproval } from "../../src/buyer/pending-approval.ts";
import type { ApprovalDecision, Buyer } from "../../src/buyer/types.ts";
import { configSchema, type Config } from "../../src/config/schema.ts";
import { Proof402Error } from "../../src/errors.ts";
import { openChain } from "../../src/chain/chain.ts";
import { reconcile } from "../../src/payment/reconcile.ts";
import { walletFromPrivateKey } from "../../src/payment/wallet.ts";
import { openDatabase, type Db } from "../../src/storage/database.ts";
import { createLedger, judgeSent, POLICY, type Asked, type Ledger, type Policy } from "./money-ledger.ts";
import { createSimulatedChain, DOMAIN, TOKEN, type SimulatedChain } from "./simulated-chain.ts";
import {
  NETWORK,
  PAYEES,
  SELLERS,
  type Paid,
  type Reply,
  type Scene,
  type SimulatedMarket,
} from "./simulated-market.ts";
import { buyWith } from "./buy.ts";
import { placeOf } from "./database-place.ts";

/** When each sequence begins, unix ms. */
const START = 1_800_000_000_000;
const wallet = walletFromPrivateKey(`0x${"a1".repeat(32)}`);

/** Where a buyer breaks: at the so many-th time that it asks its clock, for once or for good. */
export type Trip = { at: number; dies: boolean };

/** One process with the buyer's file open. */
export type Process = {
  buyer: Buyer;
  /** From here on the clock throws where the trip says so. */
  trip(trip: Trip | null): void;
  /** Nothing it does from here on changes anything. */
  kill(): void;
  isDead(): boolean;
  /** Whether it broke since the trip was set. */
  isBroken(): boolean;
};

/** One sequence: a real buyer on a file of its own, a simulated chain, two sellers, and the model they are held against. */
export type World = {
  ledger: Ledger;
  chain: SimulatedChain;
  scene: Scene;
  db: Db;
  policy: Policy;
  process: Process;
  /** The number of the command under way, and what it asks for. */
  command: number;
  asked: Asked | null;
  /** What is done when a paid request reaches a seller, before it answers. Resolves false to break the line. */
  whenPaid: (() => Promise<boolean>) | null;
  now(): number;
  advance(seconds: number, whose: "both" | "buyer" | "chain"): void;
  approve(decision: ApprovalDecision): (request: { idempotencyKey: string }) => Promise<ApprovalDecision>;
  /** Opens the file again under a policy, after the process before has ended. */
  open(policy: Policy): Promise<void>;
  /** Another process on the same file. */
  openBeside(): Promise<Process>;
  reconcile(): Promise<void>;
  close(): Promise<void>;
};

/** Makes the file that sequences begin with: an opened database, whose wallet and token are known. */
export async function makeTemplate(directory: string, market: SimulatedMarket): Promise<string> {
  const path = join(directory, "template.db");
  const world = await openWorld({ directory, market, path: null, name: "template.db" });
  await buyWith(world.process.buyer, { model: "m", input: { x: [0] }, idempotencyKey: "template-key" });
  await world.close();
  const db = await openDatabase(path);
  for (const table of ["purchases", "receipts", "log", "jobs", "spend", "calls", "sightings", "chain_heads"] as const)
    await db.deleteFrom(table).execute();
  await db.destroy();
  return path;
}

/** Begins a sequence on a copy of the template. */
export async function openWorld(options: {
  directory: string;
  market: SimulatedMarket;
  path: string | null;
  name: string;
}): Promise<World> {
  const { market } = options;
  const path = join(options.directory, options.name);
  // In a run on PostgreSQL there are no files.
  if (options.path !== null && placeOf(path) === path) copyFileSync(options.path, path);
  const clock = { now: START };
  const chain = createSimulatedChain(START / 1000);
  const ledger = createLedger();
  const db = await openDatabase(path);

  const onPaid = async (paid: Paid): Promise<boolean> => {
    const { nonce } = paid.authorization;
    const row = await db.selectFrom("purchases").selectAll().where("nonce", "=", nonce).executeTakeFirst();
    if (row === undefined || row.state === "reserved" || row.state === "signed")
      ledger.faults.push(`sent what the journal has as ${row?.state ?? "unknown"}`);
    if (row !== undefined) {
      const { policy, command, asked } = world;
      const key = row.idempotency_key;
      const plannedAt = row.created_at;
      const sent = { chain, policy, now: clock.now, plannedAt, command, asked, paid, key };
      judgeSent(ledger, { ...sent, digest: row.args_digest });
    }
    return world.whenPaid === null || world.whenPaid();
  };
  const onReply = ({ authorization: { nonce, value }, sellerId }: Paid, { answers }: Reply): void => {
    const entry = ledger.entries.find(({ authorization }) => authorization.nonce === nonce);
    if (entry === undefined) return;
    // Its present offer again is another one where the payment was made under an older price.
    const isOther = answers === "same_offer" && scene.prices[sellerId as keyof Scene["prices"]].asked !== Number(value);
    if (answers === "new_offer" || isOther) entry.turnedDownIn = world.command;
    if (answers === "ok" || answers === "unreadable" || answers === "client_error") entry.answeredAt = clock.now;
  };
  const prices = { cheap: { listed: 2000, asked: 2000 }, dear: { listed: 3000, asked: 3000 } };
  const course = { chain, rpcDown: false, stalls: 0, life: 120, unlisted: false };
  const scene: Scene = { ...course, prices, replies: [], onPaid, onReply };
  market.play(scene);

  const start = async (policy: Policy): Promise<Process> => {
    let dead = false;
    let trip: Trip | null = null;
    let asked = 0;
    const read = (): Date => {
      asked += 1;
      if (trip !== null && asked === trip.at) {
        dead = trip.dies;
        throw new Error("broken at a boundary");
      }
      if (dead) throw new Error("the process is gone");
      return new Date(clock.now);
    };
    return {
      buyer: await openBuyer({ config: configOf(policy, market, path), wallet, clock: read }),
      trip(next) {
        trip = next;
        asked = 0;
      },
      kill() {
        dead = true;
      },
      isDead: () => dead,
      isBroken: () => trip !== null && asked >= trip.at,
    };
  };

  const world: World = {
    ledger,
    chain,
    scene,
    db,
    policy: POLICY,
    process: await start(POLICY),
    command: 0,
    asked: null,
    whenPaid: null,
    now: () => clock.now,
    advance(seconds, whose) {
      if (whose !== "chain") clock.now += seconds * 1000;
      if (whose !== "buyer") chain.advance(Math.max(0, seconds));
    },
    approve: (decision) => (request) => {
      const { approvals } = ledger;
      const key = request.idempotencyKey;
      if (decision === "approved") approvals.set(key, (approvals.get(key) ?? 0) + 1);
      return Promise.resolve(decision);
    },
    async open(policy) {
      await world.process.buyer.close();
      world.policy = policy;
      world.process = await start(policy);
    },
    openBeside: () => start(world.policy),
    async reconcile() {
      const chains = new Map([[NETWORK, openChain(networkOf(market))]]);
      await reconcile({ db, chains, now: new Date(clock.now) });
    },
    async close() {
      await world.process.buyer.close();
      await db.destroy();
      if (options.path === null) return;
      for (const suffix of ["", "-wal", "-shm"]) rmSync(`${path}${suffix}`, { force: true });
    },
  };
  return world;
}

const networkOf = ({ rpcUrl }: SimulatedMarket) => ({
  network: NETWORK,
  rpcUrl,
  confirmations: 1,
  pollMilliseconds: 20,
});

function configOf(policy: Policy, market: SimulatedMarket, database: string): Config {
  const { perCall, perHour, perDay, total, callsPerHour, approveAbove, sellerTotal } = policy;
  const caps = { perCall, perHour, perDay, total };
  const asset = policy.asset ? TOKEN : `0x${"99".repeat(20)}`;
  return configSchema.parse({
    database,
    networks: [networkOf(market)],
    payment: {
      callsPerHour,
      assets: [
        {
          network: NETWORK,
          asset,
          symbol: "USDC",
          decimals: 6,
          usdStable: true,
          domain: DOMAIN,
          ...Object.fromEntries(Object.entries(caps).map(([name, cap]) => [name, String(cap)])),
          ...(approveAbove === null ? {} : { approveAbove: String(approveAbove) }),
        },
      ],
    },
    sellers: SELLERS.filter((id) => policy.sellers.includes(id)).map((id) => ({
      id,
      provider: "oip",
      origin: market.origins[id],
      payTo: [policy.payees ? PAYEES[id] : `0x${"ff".repeat(20)}`],
      assurance: "none",
      limits: id === "cheap" && sellerTotal !== null ? [{ network: NETWORK, asset, total: String(sellerTotal) }] : [],
    })),
    verification: { assurance: "none" },
    http: { allowPrivateAddresses: true },
  });
}

/** What a request's body asks for. */
const argsIn = (body: string): number =>
  Number((JSON.parse(body) as { inputs: { data: number[] }[] }).inputs[0]?.data[0]);

/** What of an outcome says something about money. */
export type Told =
  | { kind: "result"; key: string; receiptId: string; args: number; paidNow: boolean; stored: boolean }
  | { kind: "ask"; error: Proof402Error }
  | { kind: "error"; error: Proof402Error };

/** Makes a call, and gives back what its caller is told. */
export async function tell(call: ReturnType<Buyer["buy"]>): Promise<Told> {
  try {
    const outcome = await call;
    const { idempotencyKey: key, receipt, paidNow, stored } = outcome;
    const request = Buffer.from(receipt.core.request.body ?? "", "base64").toString();
    return { kind: "result", key, receiptId: receipt.id, args: argsIn(request), paidNow, stored };
  } catch (error) {
    if (Proof402Error.isInstance(error)) return { kind: pendingApproval(error) === null ? "error" : "ask", error };
    throw error;
  }
}
