import type { Hours } from "./policy.ts";

export const WEEKDAYS = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"] as const;

/** Whether the runtime knows the IANA time zone. */
export function isTimeZone(name: string): boolean {
  try {
    return new Intl.DateTimeFormat("en", { timeZone: name }).resolvedOptions().timeZone !== "";
  } catch {
    return false;
  }
}

/**
 * Whether `now` is within the policy's hours, by the wall clock of their time zone. A window that passes midnight belongs
 * to the day on which it began. Where clocks are set back, the repeated hour counts twice; where they are set forward, the
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
