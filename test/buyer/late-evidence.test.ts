import { describe, expect, test } from "vitest";
import type { Look } from "../../src/buyer/background/jobs/types.ts";
import { Proof402Error } from "../../src/errors.ts";
import { newestAppraisal } from "../../src/receipts/newest.ts";
import { eventually } from "../support/eventually.ts";
import {
  deliver,
  evidence,
  jobsOf,
  kind,
  looked,
  openContext,
  openSecondClock,
  PATIENCE_MS,
  start,
  stored,
  studies,
  time,
} from "../support/second-clock.ts";

openSecondClock();

describe("evidence that is not there yet", () => {
  test("is looked for after twice the time each time, up to a minute, and the file keeps when", async () => {
    const ctx = await openContext([kind(() => Promise.resolve({ state: "waiting" }))]);
    await deliver(ctx);
    const clock = start(ctx);
    const waits: number[] = [];
    for (let times = 1; times <= 14; times += 1) {
      const job = await looked(ctx, times);
      waits.push(job.run_at - time.now);
      const another = await openContext(ctx.handlers);
      expect(await another.queue.nextRun(["study"])).toBe(job.run_at);
      expect(await another.queue.lease(job.run_at - 1, ["study"])).toBeNull();
      time.now = job.run_at;
      clock.wake();
    }
    expect(waits).toEqual([
      100, 200, 400, 800, 1600, 3200, 6400, 12_800, 25_600, 51_200, 60_000, 60_000, 60_000, 60_000,
    ]);
  });

  test("is looked for a last time at the deadline, and then the layer says so and the verdict is final", async () => {
    const ctx = await openContext([kind(() => Promise.resolve({ state: "waiting" }))]);
    await deliver(ctx, [{ deadline: time.now + 150 }]);
    expect(newestAppraisal(await stored(ctx)).verdict).toBe("pending");
    const clock = start(ctx);
    expect((await looked(ctx, 1)).run_at).toBe(time.now + 100);
    time.now += 100;
    clock.wake();
    // Not after twice the time: that would be too late.
    expect((await looked(ctx, 2)).run_at).toBe(time.now + 50);
    time.now += 50;
    clock.wake();
    expect(await looked(ctx, 3)).toMatchObject({ state: "done", last_error: "deadline_passed" });
    expect(newestAppraisal(await stored(ctx))).toMatchObject({
      verdict: "verified",
      layers: {
        computation: { status: "skip", code: "not_replayed", note: expect.stringContaining("deadline_passed") },
      },
    });
  });

  test("whose kind has no deadline is looked for past it", async () => {
    const endless = kind(() => Promise.resolve({ state: "waiting" }), { endless: true });
    const ctx = await openContext([endless]);
    await deliver(ctx, [{ deadline: time.now - 1 }]);
    const clock = start(ctx);
    const job = await looked(ctx, 1);
    expect(job).toMatchObject({ state: "waiting", run_at: time.now + 100, last_error: null });
    time.now = job.run_at;
    clock.wake();
    expect(await looked(ctx, 2)).toMatchObject({ state: "waiting", run_at: time.now + 200 });
  });

  test("whose deadline passed while no process ran is looked for once more: what is there counts, what is not is absent", async () => {
    const found = kind(() => Promise.resolve({ state: "landed", evidence: evidence("late") }), { kind: "found" });
    const missing = kind(() => Promise.resolve({ state: "waiting" }), { kind: "missing" });
    const ctx = await openContext([found, missing]);
    await deliver(ctx, [{ kind: "found" }, { kind: "missing" }]);
    time.now += PATIENCE_MS + 1;
    start(ctx);
    await eventually(async () => expect((await jobsOf(ctx)).map(({ state }) => state)).toEqual(["done", "done"]));
    expect((await jobsOf(ctx)).map((job) => job.last_error)).toEqual([null, "deadline_passed"]);
    expect(studies(await stored(ctx))).toEqual([evidence("late")]);
    expect(newestAppraisal(await stored(ctx)).verdict).toBe("verified");
  });
});

describe("a look that goes wrong", () => {
  test.each([
    ["its code", new Proof402Error("chain_unreachable", "No answer.", { next: "Wait." }), "chain_unreachable"],
    ["the name of what was thrown", new TypeError("not a function"), "TypeError"],
    ["no more than that, where it is no error", "a text" as unknown as Error, "error"],
  ])("is kept with %s, tried again, and is the reason when the deadline is over", async (_what, thrown, code) => {
    const ctx = await openContext([kind(() => Promise.reject(thrown))]);
    await deliver(ctx);
    const clock = start(ctx);
    expect(await looked(ctx, 1)).toMatchObject({ state: "waiting", last_error: code, run_at: time.now + 100 });
    expect(newestAppraisal(await stored(ctx)).verdict).toBe("pending");
    time.now += 100;
    clock.wake();
    expect(await looked(ctx, 2)).toMatchObject({ state: "waiting", last_error: code, run_at: time.now + 200 });
    time.now += PATIENCE_MS;
    clock.wake();
    expect(await looked(ctx, 3)).toMatchObject({ state: "done", last_error: code });
    expect(newestAppraisal(await stored(ctx))).toMatchObject({
      verdict: "verified",
      layers: { computation: { status: "skip", code: "not_replayed", note: `It was not studied (${code}).` } },
    });
  });

  test("and then goes right lands, and nothing is left of the error", async () => {
    const looks: (() => Promise<Look>)[] = [
      () => Promise.reject(new Error("at first")),
      () => Promise.resolve({ state: "landed", evidence: evidence("at last") }),
    ];
    const ctx = await openContext([kind(() => looks.shift()!())]);
    await deliver(ctx);
    const clock = start(ctx);
    time.now = (await looked(ctx, 1)).run_at;
    clock.wake();
    expect(await looked(ctx, 2)).toMatchObject({ state: "done", last_error: null });
    expect(studies(await stored(ctx))).toEqual([evidence("at last")]);
  });
});
