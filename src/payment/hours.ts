import * as z from "zod";

const WEEKDAYS = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"] as const;

/** Whether the runtime knows the IANA time zone. */
function isTimeZone(name: string): boolean {
  try {
    return new Intl.DateTimeFormat("en", { timeZone: name }).resolvedOptions().timeZone !== "";
  } catch {
    return false;
  }
}

const minuteOfDay = z.string().regex(/^(?:[01][0-9]|2[0-3]):[0-5][0-9]$/, "a time of day such as 08:30");

/** When purchases may be made, on the clock and calendar of one time zone. */
export const hoursSchema = z
  .strictObject({
    /** IANA name such as `Europe/Berlin`. */
    timeZone: z.string().refine(isTimeZone, "an IANA time zone such as Europe/Berlin"),
    days: z
      .array(z.enum(WEEKDAYS))
      .min(1)
      .max(7)
      .default([...WEEKDAYS]),
    from: minuteOfDay,
    /** Excluded. Before `from` it means the next day's: the window belongs to the day it began on. */
    to: minuteOfDay,
  })
  .refine(({ from, to }) => from !== to, "from and to are the same: leave hours out for no limit");

export type Hours = z.infer<typeof hoursSchema>;

/**
 * Whether `now` is within the policy's hours, by the wall clock of their time zone. A window past midnight belongs to
 * the day of its beginning. Where clocks are set back, the repeated hour counts twice; where they are set forward, the
 * skipped one does not exist: the wall clock is what the owner reads.
 */
export function isWithin(hours: Hours, now: Date): boolean {
  const { day, time } = wallClock(now, hours.timeZone);
  const opens = (weekday: number): boolean => hours.days.some((name) => WEEKDAYS.indexOf(name) === weekday);
  if (hours.from < hours.to) return opens(day) && time >= hours.from && time < hours.to;
  return (opens(day) && time >= hours.from) || (opens((day + 6) % 7) && time < hours.to);
}

/** Day of the week (0 is Monday) and time as "HH:MM". */
function wallClock(now: Date, timeZone: string): { day: number; time: string } {
  const format = new Intl.DateTimeFormat("en-GB", {
    timeZone,
    weekday: "short",
    hour: "2-digit",
    minute: "2-digit",
    hourCycle: "h23",
  });
  const parts = new Map(format.formatToParts(now).map(({ type, value }) => [type, value]));
  const weekday = (parts.get("weekday") ?? "").toLowerCase();
  return {
    day: WEEKDAYS.findIndex((name) => name === weekday),
    time: `${parts.get("hour") ?? ""}:${parts.get("minute") ?? ""}`,
  };
}
