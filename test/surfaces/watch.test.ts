import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { followChanges } from "../../src/buyer/follow.ts";
import { openDatabase, type Db } from "../../src/storage/database.ts";
import { CLI, runCli } from "../support/cli.ts";
import { openDecisionWorld, type DecisionWorld } from "../support/decision-buyer.ts";

let world: DecisionWorld;
let db: Db;
beforeAll(async () => {
  world = await openDecisionWorld(2);
  db = await openDatabase(world.database);
});
afterAll(async () => {
  await db.destroy();
  await world.close();
});

const decide = (subject: string) =>
  world.buyer.decide({
    purpose: "payroll",
    subject,
    receipts: world.receipts.map(({ id }) => id),
    action: { pay: "1" },
    outcome: "approved",
    person: "Ada",
  });
const TERMS = {
  seller_id: "fixture",
  pay_to: `0x${"b2".repeat(20)}`,
  network: "eip155:31337",
  asset: `0x${"c3".repeat(20)}`,
};
/** A payment that waits for its owner, as another process writes it. */
const ask = (id: string, model: string): Promise<unknown> =>
  db
    .insertInto("approvals")
    .values({
      ...TERMS,
      id,
      model,
      digest: id,
      alike: id,
      idempotency_key: `key-${id}`,
      amount: "10000",
      state: "open",
      asked_at: Date.now(),
      ends_at: Date.now() + 60_000,
      input: "",
      input_length: 0,
      besides: "",
    })
    .execute();

/** The command in a process of its own, by its lines. */
function watching(...args: string[]): { child: ChildProcess; next: () => Promise<string>; ended: Promise<unknown> } {
  const child = spawn(process.execPath, [CLI, "--config", world.config, ...args, "watch", "--last", "1"], {
    env: { PATH: process.env["PATH"], HOME: "/nonexistent", NO_COLOR: "1" },
    stdio: ["ignore", "pipe", "pipe"],
  });
  const lines = createInterface(child.stdout)[Symbol.asyncIterator]();
  const ended = once(child, "exit").then(([code]: unknown[]) => code);
  return { child, ended, next: async () => (await lines.next()).value ?? "" };
}

test("shows the newest changes, oldest first, and ends where nothing is under way", async () => {
  const { code, stdout } = await runCli(["--config", world.config, "--json", "watch", "--last", "3", "--until-idle"]);
  const lines = stdout
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line) as { kind: string; at: string });
  expect([code, lines.map(({ kind }) => kind)]).toEqual([0, ["verdict", "import", "verdict"]]);
  expect(lines[2]).toMatchObject({
    receiptId: world.receipts[1]?.id,
    verdict: "verified",
    before: null,
    simulated: true,
    seller: "fixture",
  });
  expect(lines.map(({ at }) => at)).toEqual(lines.map(({ at }) => at).toSorted());
  const none = await runCli(["--config", world.config, "--json", "watch", "--last", "0", "--until-idle"]);
  expect([none.code, none.stdout]).toEqual([0, ""]);
});

describe("in another process", () => {
  test("tells decisions and payments that wait as they come, without a key, and ends at Ctrl-C with 0", async () => {
    const { child, next, ended } = watching("--json");
    expect(JSON.parse(await next())).toMatchObject({ kind: "verdict" });
    const { id } = await decide("line 1");
    expect(JSON.parse(await next())).toMatchObject({ kind: "decision", id, subject: "line 1", outcome: "approved" });
    await ask("appr_1", "eth-risk");
    expect(JSON.parse(await next())).toMatchObject({ kind: "approval", id: "appr_1", state: "open", amount: "10000" });
    await db.updateTable("approvals").set({ state: "declined" }).where("id", "=", "appr_1").execute();
    expect(JSON.parse(await next())).toMatchObject({ kind: "approval", id: "appr_1", state: "declined" });
    child.kill("SIGINT");
    expect(await ended).toBe(0);
  });

  test("shows a stranger's text on one line in quotes, steers no terminal, and ends when its reader is gone", async () => {
    const { child, next, ended } = watching();
    await next();
    await ask("appr_2", "x\u001b[2J\r\n2026-11-28T00:00:00.000Z  verdict   verified: \u202Ereceipt");
    const line = await next();
    expect(line).toContain("waits for an answer: at most 0.01 USDC ($0.01)");
    expect(line).toContain("proof402 approvals approve appr_2");
    expect(line).not.toMatch(/[\p{Cc}\p{Cf}]/u);
    expect(line.indexOf("verified")).toBeGreaterThan(line.indexOf('for "'));
    child.stdout?.destroy();
    await decide("line 2");
    await decide("line 3");
    expect(await ended).toBe(0);
  });
});

describe("the follower", () => {
  /** A payment's row as the journal writes it, in a state. */
  const pay = (
    id: string,
    state: "reserved" | "signed" | "sent" | "answered" | "settled" | "released",
    at: number,
  ): Promise<unknown> =>
    db
      .insertInto("purchases")
      .values({
        ...TERMS,
        id,
        state,
        model: "eth-risk",
        idempotency_key: `key-${id}`,
        attempt: 1,
        args_digest: "a",
        client: null,
        asset: `0x${"c3".repeat(20)}`,
        pay_to: `0x${"b2".repeat(20)}`,
        amount: "10000",
        settled_amount: null,
        scheme: "exact",
        method: "eip3009",
        facilitator: null,
        channel_id: null,
        voucher: null,
        share: null,
        payer: `0x${"a1".repeat(20)}`,
        reported: null,
        part: null,
        nonce: `0x${id.padStart(64, "0")}`,
        valid_after: 0,
        valid_before: 9,
        authorization_hash: `0x${"00".repeat(32)}`,
        salt: null,
        signature: null,
        listed_price: null,
        offer: "{}",
        accepted: "{}",
        request: "{}",
        receipt_id: null,
        answered_at: null,
        transaction: null,
        reason: null,
        created_at: at,
        updated_at: at,
      })
      .execute();
  const move = (id: string, state: "sent" | "settled" | "released", at: number): Promise<unknown> =>
    db.updateTable("purchases").set({ state, updated_at: at }).where("id", "=", id).execute();

  test("tells each state of a payment once, also of one begun long before, and nothing while nothing is written", async () => {
    const now = Date.now();
    await pay("1", "sent", now - 86_400_000);
    await pay("2", "settled", now - 86_400_000);
    const reader = await openDatabase(world.database);
    try {
      const follower = followChanges(reader);
      const states = (changes: Awaited<ReturnType<typeof follower.look>>) =>
        changes.flatMap((one) => (one.kind === "payment" ? [[one.id, one.state]] : []));
      const begun = await follower.begin(100);
      expect(states(begun)).toEqual(
        expect.arrayContaining([
          ["1", "sent"],
          ["2", "settled"],
        ]),
      );
      expect(begun.map(({ at }) => at)).toEqual(begun.map(({ at }) => at).toSorted((a, b) => a - b));
      expect(await follower.isIdle()).toBe(false);
      expect(await follower.look()).toEqual([]);
      await pay("3", "reserved", now);
      expect(await follower.look()).toEqual([]);
      await move("3", "sent", now + 1);
      expect(states(await follower.look())).toEqual([["3", "sent"]]);
      await move("1", "settled", now + 2);
      await move("3", "released", now + 3);
      expect(states(await follower.look())).toEqual([
        ["1", "settled"],
        ["3", "released"],
      ]);
      // Begun and ended between two looks.
      await pay("4", "settled", now + 4);
      expect(states(await follower.look())).toEqual([["4", "settled"]]);
      await decide("line 4");
      expect((await follower.look()).map(({ kind }) => kind)).toEqual(["decision"]);
      expect(await follower.look()).toEqual([]);
      expect(await follower.isIdle()).toBe(true);
    } finally {
      await reader.destroy();
    }
  });
});
