import { openDecisionWorld, type DecisionWorld } from "./decision-buyer.ts";
import type { Report } from "../../src/receipts/report-schema.ts";

/** A time of 2090. */
export const at = (time: string): Date => new Date(`2090-${time}Z`);
export const [FROM, TO] = [at("01-01T00:00:00"), at("02-01T00:00:00")] as const;

/** Decisions of a month and after it, and reports of the month. */
export type January = {
  world: DecisionWorld;
  /** Of all decisions, and of those with one purpose. */
  report: Report;
  payroll: Report;
  /** The log's head after the month's last decision, and after the one of February. */
  heads: { january: string; february: string };
};

/** Three payroll decisions of January and one of another purpose, and one of February. */
export async function openJanuary(): Promise<January> {
  const world = await openDecisionWorld(3);
  const [a, b, c] = world.receipts.map(({ id }) => id) as [string, string, string];
  const decide = async (time: string, subject: string, receipts: string[], purpose = "payroll"): Promise<string> => {
    world.setTime(at(time));
    const action = { pay: subject, amount: "12.50", now: true, to: [null] };
    const who = { person: "Ada", second: "Grace" };
    await world.buyer.decide({ purpose, subject, receipts, action, outcome: "approved", ...who });
    return (await world.buyer.logHead()).hash;
  };
  await decide("01-01T00:00:00", "first", [a]);
  await decide("01-10T00:00:00", "second", [b]);
  await decide("01-11T00:00:00", "a truck", [b], "routing");
  const january = await decide("01-31T23:59:59", "third", [a, c]);
  const february = await decide("02-01T00:00:00", "next month", [c]);
  world.setTime(at("02-02T00:00:00"));
  const report = await world.buyer.report({ from: FROM, to: TO });
  const payroll = await world.buyer.report({ from: FROM, to: TO, purpose: "payroll" });
  return { world, report, payroll, heads: { january, february } };
}
