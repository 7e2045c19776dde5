import { describe, expect, test, vi } from "vitest";
import type { Look } from "../../src/buyer/background/jobs/types.ts";
import { LEASE_MS } from "../../src/buyer/background/queue.ts";
import { newestAppraisal } from "../../src/receipts/newest.ts";
import { eventually } from "../support/eventually.ts";
import { gate } from "../support/gate.ts";
import {
  deliver,
  evidence,
  FIRST_DELAY_MS,
  jobOf,
  jobsOf,
  kind,
  looked,
  openContext,
  openSecondClock,
  start,
  stored,
  studies,
  time,
} from "../support/second-clock.ts";

openSecondClock();

const landed = (text: string): Look => ({ state: "landed", evidence: evidence(text) });

describe("a look that does not end", () => {
  test("is given up before its lease is over, told so, and looked for again; what it brings then counts for nothing", async () => {
    const signals: AbortSignal[] = [];
    const hanging = gate<Look>();
    const ctx = await openContext([
      kind((_ctx, _receipt, _job, signal) => {
        signals.push(signal);
        return signals.length === 1 ? hanging.opened : Promise.resolve(landed("the second"));
      }),
    ]);
    await deliver(ctx);
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
    const clock = start(ctx);
    await eventually(() => expect(signals).toHaveLength(1));
    expect(signals[0]?.aborted).toBe(false);
    // The lease is not over: nobody else can have taken the job.
    vi.advanceTimersByTime(LEASE_MS - 1000);
    time.now += LEASE_MS - 1000;
    vi.useRealTimers();
    expect(await looked(ctx, 1)).toMatchObject({
      state: "waiting",
      last_error: "look_timeout",
      run_at: time.now + FIRST_DELAY_MS,
    });
    expect(signals[0]?.aborted).toBe(true);
    time.now += FIRST_DELAY_MS;
    clock.wake();
    expect(await looked(ctx, 2)).toMatchObject({ state: "done", last_error: null });
    hanging.open(landed("the first"));
    await clock.stop();
    expect(studies(await stored(ctx))).toEqual([evidence("the second")]);
  });

  test("keeps no other job waiting", async () => {
    const hanging = gate<Look>();
    const ctx = await openContext([
      kind(() => hanging.opened, { kind: "hanging" }),
      kind(() => Promise.resolve(landed("beside it"))),
    ]);
    await deliver(ctx, [{ kind: "hanging" }, {}]);
    start(ctx);
    await eventually(async () => expect(studies(await stored(ctx))).toEqual([evidence("beside it")]));
    expect((await jobsOf(ctx)).map(({ state }) => state)).toEqual(["waiting", "done"]);
    hanging.open({ state: "waiting" });
  });
});

describe("a worker whose lease ran out while it worked", () => {
  /** Two processes on a file: the first holds the job, the second takes it half a minute later. */
  async function overtaken(
    second: Look,
  ): Promise<{ ctx: Awaited<ReturnType<typeof openContext>>; end: (late: Look) => Promise<void> }> {
    const held = gate<Look>();
    const taken = gate();
    // One at a time, or it might take what it still works on again once its lease ran out.
    const slow = await openContext([
      kind(
        () => {
          taken.open();
          return held.opened;
        },
        { atOnce: 1 },
      ),
    ]);
    await deliver(slow);
    const clock = start(slow);
    await taken.opened;
    time.now += LEASE_MS;
    clock.wake();
    const ctx = await openContext([kind(() => Promise.resolve(second))]);
    start(ctx);
    await looked(ctx, 2);
    return {
      ctx,
      async end(late) {
        held.open(late);
        await clock.stop();
      },
    };
  }

  test("lands nothing beside what the next one landed, and judges nothing anew", async () => {
    const { ctx, end } = await overtaken(landed("in time"));
    const before = await stored(ctx);
    await end(landed("too late"));
    expect(studies(await stored(ctx))).toEqual([evidence("in time")]);
    expect(await stored(ctx)).toEqual(before);
  });

  test("lands nothing where the next one found nothing either: the job is that one's", async () => {
    const { ctx, end } = await overtaken({ state: "waiting" });
    const before = await jobOf(ctx);
    expect(before).toMatchObject({ state: "waiting", attempts: 2 });
    await end(landed("too late"));
    expect(studies(await stored(ctx))).toEqual([]);
    expect(await jobOf(ctx)).toEqual(before);
    expect(newestAppraisal(await stored(ctx)).verdict).toBe("pending");
  });

  test.each([
    ["says no last word where the next one found it", { state: "absent", code: "not_offered" } as const],
    ["gives no job back that the next one ended", { state: "waiting" } as const],
  ])("%s", async (_what, late) => {
    const { ctx, end } = await overtaken(landed("in time"));
    const before = [await jobOf(ctx), await stored(ctx)];
    await end(late);
    expect([await jobOf(ctx), await stored(ctx)]).toEqual(before);
  });
});

describe("a job of a kind that this version does not know", () => {
  test("stays as it is, and says nothing in any verdict", async () => {
    const ctx = await openContext([kind(() => Promise.resolve(landed("known")))]);
    await deliver(ctx, [{ kind: "from-the-future", payload: { of: "it" }, deadline: time.now - 1 }, {}]);
    const [before] = await jobsOf(ctx);
    start(ctx);
    await eventually(async () => expect((await jobsOf(ctx))[1]?.state).toBe("done"));
    expect((await jobsOf(ctx))[0]).toEqual(before);
    expect(before).toMatchObject({ kind: "from-the-future", attempts: 0, state: "waiting" });
    expect(newestAppraisal(await stored(ctx)).verdict).toBe("verified");
  });
});
