import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { generatePrivateKey } from "viem/accounts";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import {
  journalSecret,
  markSent,
  markSigned,
  openPurchases,
  readLatestAttempt,
  readPurchase,
  recentPurchases,
} from "../../src/payment/journal.ts";
import { reserve } from "../../src/payment/reserve.ts";
import { spending } from "../../src/payment/spending.ts";
import type { PaymentPolicy } from "../../src/payment/policy.ts";
import { reconcile } from "../../src/payment/reconcile.ts";
import type { Transition } from "../../src/payment/types.ts";
import { walletFromPrivateKey } from "../../src/payment/wallet.ts";
import { openDatabase, type Db } from "../../src/storage/database.ts";
import { policyWith, reservation, temporaryDirectory, usdc } from "./fixtures.ts";
import type { Orders, SerializedRequest } from "./worker.ts";
import { databasePlace } from "../support/database-place.ts";
import { bundled } from "../support/bundled.ts";

const worker = bundled(join(import.meta.dirname, "worker.ts"));

beforeAll(() => worker.make());
afterAll(() => worker.remove());

/** Starts one process per order on one file, lets all of them go at once, and returns the last thing each said. */
async function race(path: string, orders: Orders[]): Promise<unknown[]> {
  const children = orders.map((order) => {
    const child = spawn(process.execPath, [worker.file], {
      env: { ...process.env, PROOF402_TEST_ORDERS: JSON.stringify(order), PROOF402_TEST_DB: path },
      stdio: ["pipe", "pipe", "inherit"],
    });
    const said: unknown[] = [];
    const lines = createInterface(child.stdout);
    const ready = once(lines, "line");
    lines.on("line", (line) => said.push(JSON.parse(line)));
    const ended = Promise.all([once(child, "exit"), once(lines, "close")]);
    return { child, said, ready, ended };
  });
  await Promise.all(children.map(({ ready }) => ready));
  for (const { child } of children) child.stdin.write("go\n");
  await Promise.all(children.map(({ ended }) => ended));
  return children.map(({ said }) => (said.length > 1 ? said.at(-1) : null));
}

const serialize = (changes: Parameters<typeof reservation>[0]): SerializedRequest => {
  const { maxAmount: _maxAmount, now, ...request } = reservation(changes);
  return { ...request, now: now.toISOString() };
};

async function withFile(work: (path: string, open: () => Promise<Db>) => Promise<void>): Promise<void> {
  const path = await databasePlace(join(temporaryDirectory(), "journal.db"));
  const opened: Db[] = [];
  await work(path, async () => {
    const db = await openDatabase(path);
    opened.push(db);
    return db;
  });
  await Promise.all(opened.map((db) => db.destroy()));
}

describe("eight processes on one file", () => {
  type Outcome = { kind: string; id?: string; code?: string };
  const tight = (assets: Partial<typeof usdc>, rest: Partial<PaymentPolicy> = {}): PaymentPolicy =>
    policyWith([{ ...usdc, ...assets }], rest);

  it.each([
    ["hour", tight({ perHour: "209999" }), 10, "over_hour_cap"],
    ["day", tight({ perDay: "140000" }), 7, "over_day_cap"],
    ["total", tight({ total: "20000" }), 1, "over_total_cap"],
    ["count", tight({}, { callsPerHour: 13 }), 13, "over_count_cap"],
  ] as const)("T17: together reserve exactly what the cap per %s allows", async (_name, policy, allowed, code) => {
    await withFile(async (path, open) => {
      const orders = Array.from({ length: 8 }, (): Orders => ({
        do: "reserve",
        requests: Array.from({ length: 4 }, () => serialize({ policy })),
      }));
      const outcomes = (await race(path, orders)).flat() as Outcome[];
      expect(outcomes.filter(({ kind }) => kind === "reserved")).toHaveLength(allowed);
      expect(outcomes.filter((outcome) => outcome.code === code)).toHaveLength(32 - allowed);
      const db = await open();
      expect(await recentPurchases(db, 100)).toHaveLength(allowed);
      expect((await spending(db, policy, new Date())).assets[0]?.reserved).toBe(String(allowed * 20_000));
    });
  });

  it("T20: reserve once for one key, and all learn of that one", async () => {
    await withFile(async (path, open) => {
      const request = serialize({ key: "call-0001" });
      const outcomes = (
        await race(
          path,
          Array.from({ length: 8 }, () => ({ do: "reserve", requests: [request] })),
        )
      ).flat() as Outcome[];
      expect(outcomes.filter(({ kind }) => kind === "reserved")).toHaveLength(1);
      expect(outcomes.filter(({ kind }) => kind === "existing")).toHaveLength(7);
      expect(new Set(outcomes.map(({ id }) => id)).size).toBe(1);
      expect(await recentPurchases(await open(), 10)).toHaveLength(1);
    });
  });

  it("never sign what another has released", async () => {
    await withFile(async (path, open) => {
      const db = await open();
      const result = await reserve(db, reservation());
      if (result.kind !== "reserved") throw new Error(result.kind);
      const { id } = result.purchase;
      const orders = Array.from({ length: 8 }, (_, index): Orders => ({
        do: "transition",
        id,
        transition: index % 2 === 0 ? "sign" : "release",
      }));
      const said = (await race(path, orders)) as Transition[];
      const [signed, released] = [0, 1].map((odd) => said.filter((_, index) => index % 2 === odd).map(({ ok }) => ok));
      // One side won, all of it; the other was refused, all of it.
      expect(new Set(signed).size).toBe(1);
      expect(new Set(released).size).toBe(1);
      expect(signed?.[0]).toBe(!released?.[0]);
      expect((await readPurchase(db, id))?.state).toBe(signed?.[0] === true ? "signed" : "released");
    });
  });
});

describe("a process killed", () => {
  const key = generatePrivateKey();
  const wallet = walletFromPrivateKey(key);

  it("inside the reservation leaves nothing behind", async () => {
    await withFile(async (path, open) => {
      const said = await race(path, [{ do: "die", at: "inside", request: serialize({ key: "call-0001" }), key }]);
      expect(said).toEqual(["reserved"]);
      const db = await open();
      expect(await recentPurchases(db, 10)).toEqual([]);
      expect((await spending(db, policyWith(), new Date())).assets[0]).toMatchObject({ reserved: "0", spent: "0" });
    });
  });

  it.each(["reserved", "signed", "sent", "answered"] as const)(
    "T19: at %s leaves the journal there, and the next one signs the very same authorization or none",
    async (at) => {
      await withFile(async (path, open) => {
        const request = serialize({
          key: "call-0001",
          payer: wallet.address,
          secret: await journalSecret(await open()),
        });
        const [signature] = await race(path, [{ do: "die", at, request, key }]);
        const db = await open();
        const purchase = await readLatestAttempt(db, "call-0001");
        if (purchase === null) throw new Error("nothing was journaled");
        expect(purchase).toMatchObject({ state: at, attempt: 1, payment: request.payment, accepted: request.accepted });
        expect(await openPurchases(db)).toHaveLength(1);
        // It goes on counting, and its key gives no second reservation.
        expect((await spending(db, request.policy, new Date())).assets[0]?.reserved).toBe("20000");
        expect((await reserve(db, { ...request, now: new Date(request.now) })).kind).toBe("existing");
        const now = new Date();
        const again = await wallet.signAuthorization(purchase.payment, purchase.offer);
        expect(signature).toBe(at === "reserved" ? null : again);
        // One that was answered is paid for: nothing is signed or sent again.
        expect((await markSigned(db, purchase.id, { now })).ok).toBe(at !== "answered");
        expect((await markSent(db, purchase.id, { now })).ok).toBe(at !== "answered");
      });
    },
  );

  it("before it signed is released once its reservation is old, and only then", async () => {
    await withFile(async (path, open) => {
      await race(path, [{ do: "die", at: "reserved", request: serialize({ key: "call-0001" }), key }]);
      const db = await open();
      const at = (await readLatestAttempt(db, "call-0001"))?.createdAt ?? 0;
      const later = (ms: number) => reconcile({ db, chains: new Map(), now: new Date(at + ms) });
      expect(await later(120_000)).toMatchObject({ pending: 1, released: 0 });
      expect(await later(120_001)).toMatchObject({ pending: 0, released: 1 });
      // The call may be tried again, as a new attempt with a new nonce.
      const next = await reserve(db, reservation({ key: "call-0001", attempt: 2 }));
      expect(next.kind).toBe("reserved");
    });
  });
});
