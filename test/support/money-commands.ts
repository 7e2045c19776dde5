import fc from "fast-check";
import { toHex } from "../../src/evidence/bytes.ts";
import { canonicalSha256 } from "../../src/evidence/canonical.ts";
import type { BuyOptions } from "../../src/buyer/types.ts";
import { POLICY, type Asked, type Ledger, type Policy } from "./money-ledger.ts";
import { judgeBooks, judgeTold, requireTruth } from "./money-truth.ts";
import { tell, type Process, type Told, type Trip, type World } from "./money-world.ts";
import { SELLERS, type Price, type Reply, type SellerId } from "./simulated-market.ts";
import { buyWith } from "./buy.ts";

type Command = fc.AsyncCommand<Ledger, World>;

/** One call, and what befalls it. */
type Buy = {
  args: number;
  name: { own: string } | { surface: string } | null;
  seller: SellerId | null;
  maxUsd: number | null;
  decision: "approved" | "declined" | "ask_later" | null;
  replies: Reply[];
  befalls:
    | { kind: "nothing" }
    /** The caller gives up at a step, or once the request has reached the seller. */
    | { kind: "stop"; at: "chosen" | "quoted" | "reserved" | "sent" }
    /** The process dies while the seller has the payment. */
    | { kind: "killed" }
    /** Something throws at a boundary, or the process dies there. */
    | { kind: "trip"; trip: Trip };
};

const requestOf = ({ args, name, seller, maxUsd }: Buy) => ({
  model: "m",
  input: { x: [args] },
  ...(name !== null && "own" in name ? { idempotencyKey: name.own } : {}),
  ...(name !== null && "surface" in name ? { callKey: name.surface } : {}),
  ...(seller === null ? {} : { seller }),
  ...(maxUsd === null ? {} : { maxUsd }),
});

const askedOf = ({ args, name, seller, maxUsd }: Buy): Asked => ({
  args,
  digest: toHex(canonicalSha256({ model: "m", input: { x: [args] }, seller, assurance: null, maxUsd })),
  own: name !== null && "own" in name ? name.own : null,
  surface: name !== null && "surface" in name ? name.surface : null,
  maxAmount: maxUsd === null ? null : Math.round(maxUsd * 1e6),
});

/** Waits until no call is under way any more. */
async function idle({ db }: World): Promise<void> {
  while ((await db.selectFrom("call_leases").select("owner").execute()).length > 0)
    await new Promise((resolve) => setTimeout(resolve, 1));
}

const makeCall = (process: Process, world: World, buy: Buy, options: BuyOptions = {}): Promise<Told> =>
  tell(
    buyWith(process.buyer, requestOf(buy), {
      ...(buy.decision === null ? {} : { approve: world.approve(buy.decision) }),
      ...options,
    }),
  );

async function runBuy(world: World, buy: Buy): Promise<void> {
  const { scene, process, ledger } = world;
  const { befalls } = buy;
  const caller = new AbortController();
  const options: BuyOptions = { signal: caller.signal };
  const asked = askedOf(buy);
  world.asked = asked;
  scene.replies = [...buy.replies];
  if (befalls.kind === "stop") {
    options.onProgress = ({ step }) => {
      if (step === befalls.at) caller.abort();
    };
    if (befalls.at === "sent") {
      world.whenPaid = () => {
        caller.abort();
        return Promise.resolve(true);
      };
    }
  }
  if (befalls.kind === "killed") {
    world.whenPaid = () => {
      process.kill();
      return Promise.resolve(false);
    };
  }
  if (befalls.kind === "trip" || befalls.kind === "killed") ledger.broken = true;
  if (befalls.kind === "trip") process.trip(befalls.trip);
  const told = await makeCall(process, world, buy, options);
  if (!process.isDead()) judgeTold(world, asked, told);
  process.trip(null);
  await idle(world);
  world.whenPaid = null;
  // What a person allowed and the call did not use is allowed no longer.
  ledger.approvals.clear();
  if (process.isDead()) await world.open(world.policy);
}

/** Several calls at once, some in another process on the same file. */
async function runRace(world: World, buys: readonly Buy[], beside: boolean): Promise<void> {
  const { ledger, process } = world;
  world.asked = null;
  world.scene.replies = [];
  const other = beside ? await world.openBeside() : process;
  const told = await Promise.all(
    buys.map((buy, at) => makeCall(at % 2 === 0 ? process : other, world, { ...buy, decision: "approved" })),
  );
  if (beside) await other.buyer.close();
  for (const [at, one] of told.entries()) {
    if (one.kind === "result" && one.args !== buys[at]?.args) ledger.faults.push("the answer to another question");
    if (one.kind === "result") ledger.told.set(one.key, one.receiptId);
    if (one.kind === "error" && one.error.money !== "not-moved" && one.error.idempotencyKey === undefined)
      ledger.faults.push("money is at stake and no key is named");
  }
  ledger.approvals.clear();
}

/** A command that is followed by a look at all books. */
const command = (name: string, of: unknown, run: (world: World) => Promise<void> | void): Command => ({
  check: () => true,
  async run(_model, world) {
    world.command += 1;
    await run(world);
    await judgeBooks(world);
    requireTruth(world.ledger);
  },
  toString: () => `${name}(${JSON.stringify(of)})`,
});

const reply: fc.Arbitrary<Reply> = fc.record({
  settles: fc.constantFrom("before", "after", "never"),
  deep: fc.boolean(),
  answers: fc.oneof(
    { weight: 2, arbitrary: fc.constant("ok" as const) },
    {
      weight: 6,
      arbitrary: fc.constantFrom<Reply["answers"]>(
        "unreadable",
        "client_error",
        "server_error",
        "cut",
        "same_offer",
        "new_offer",
        "says_settled",
        "says_pending",
      ),
    },
  ),
});

const some = <T>(weight: number, arbitrary: fc.Arbitrary<T>): fc.Arbitrary<T | null> =>
  fc.oneof({ weight: 10 - weight, arbitrary: fc.constant(null) }, { weight, arbitrary });

const buy: fc.Arbitrary<Buy> = fc.record({
  args: fc.nat(1),
  name: fc.oneof(
    { weight: 2, arbitrary: fc.constant(null) },
    { weight: 3, arbitrary: fc.record({ own: fc.constantFrom("own-key-1", "own-key-2", "own-key-3") }) },
    { weight: 1, arbitrary: fc.record({ surface: fc.constantFrom("surface-1", "surface-2") }) },
  ),
  seller: some(3, fc.constantFrom(...SELLERS)),
  maxUsd: some(2, fc.constantFrom(0.001, 0.0025, 0.005)),
  decision: some(6, fc.constantFrom("approved", "approved", "declined", "ask_later")),
  replies: fc.array(reply, { maxLength: 3 }),
  befalls: fc.oneof(
    { weight: 6, arbitrary: fc.constant({ kind: "nothing" as const }) },
    {
      weight: 2,
      arbitrary: fc.record({
        kind: fc.constant("stop" as const),
        at: fc.constantFrom("chosen", "quoted", "reserved", "sent"),
      }),
    },
    { weight: 1, arbitrary: fc.constant({ kind: "killed" as const }) },
    {
      weight: 3,
      arbitrary: fc.record({
        kind: fc.constant("trip" as const),
        trip: fc.record({ at: fc.integer({ min: 1, max: 24 }), dies: fc.boolean() }),
      }),
    },
  ),
});

const change: fc.Arbitrary<Partial<Policy>> = fc.constantFrom<Partial<Policy>>(
  {},
  { sellers: ["dear"] },
  { sellers: ["cheap"] },
  { asset: false },
  { payees: false },
  { perCall: 2500 },
  { perHour: 6000 },
  { perDay: 9000 },
  { total: 9000, perDay: 9000 },
  { callsPerHour: 2 },
  { approveAbove: 1000 },
  { approveAbove: 3000 },
  { sellerTotal: 4000 },
);

const price: fc.Arbitrary<Price> = fc.constantFrom(
  { listed: 2000, asked: 2000 },
  { listed: 2500, asked: 2500 },
  { listed: 2000, asked: 3000 },
  { listed: 3000, asked: 2000 },
);

/** Whatever may befall a wallet. */
export const moneyCommands = (maxCommands: number): fc.Arbitrary<Iterable<Command>> =>
  fc.commands(
    [
      // One of several, so that calls come often among the rest.
      ...[1, 2, 3, 4].map(() => buy.map((one) => command("buy", one, (world) => runBuy(world, one)))),
      fc
        .record({ buys: fc.array(buy, { minLength: 2, maxLength: 4 }), beside: fc.boolean() })
        .map((race) => command("race", race, (world) => runRace(world, race.buys, race.beside))),
      fc
        .record({
          seconds: fc.constantFrom(1, 5, 60, 115, 130, 700, 3600, 90_000),
          whose: fc.constantFrom<"both" | "buyer" | "chain">("both", "both", "both", "buyer", "chain"),
          back: fc.nat(9).map((n) => n === 0),
        })
        .map((tick) =>
          command("tick", tick, (world) => world.advance(tick.back ? -tick.seconds : tick.seconds, tick.whose)),
        ),
      change.map((one) => command("policy", one, (world) => world.open({ ...POLICY, ...one }))),
      fc.nat(8).map((at) =>
        command("thief", at, ({ ledger, chain }) => {
          const entry = ledger.entries[at % Math.max(1, ledger.entries.length)];
          if (entry !== undefined) chain.redeem(entry.authorization);
        }),
      ),
      fc
        .record({ of: fc.constantFrom(...SELLERS), price })
        .map((one) => command("price", one, ({ scene }) => void (scene.prices[one.of] = one.price))),
      fc.constant(null).map(() => command("reconcile", null, (world) => world.reconcile())),
      fc.boolean().map((down) => command("rpc", down ? "down" : "up", ({ scene }) => void (scene.rpcDown = down))),
      fc.constant(null).map(() =>
        command("release holds", null, async ({ process }) => {
          for (const { id, hold } of await process.buyer.sellers())
            if (hold !== null) await process.buyer.releaseSeller(id);
        }),
      ),
    ],
    { maxCommands, size: "max" },
  );
