import type { ModelMatch } from "../format.ts";

/** The day at the end of a dated name, as OpenAI (`-2025-04-14`) and Anthropic (`-20250514`) write it. */
const DAY = /^-(\d{4})(-?)(\d{2})\2(\d{2})$/;
/** A provider before a model's name, as routers write it: `openai/gpt-4.1`. */
const PROVIDER = /^[A-Za-z0-9][A-Za-z0-9._-]*\//;

/**
 * Compares the model that an answer names with the one asked for. Three spellings count for it: with a day at the end, as
 * the undated name is an alias of the newest dated one, without the provider before it, and with one where none was asked
 * for. Any other name is another model.
 */
export function compareModels(asked: string, served: string): ModelMatch {
  const bare = asked.replace(PROVIDER, "");
  for (const [name, told, spelling] of [
    [asked, served, null],
    [bare, served, "without its provider"],
    [asked.includes("/") ? "" : asked, served.replace(PROVIDER, ""), "with a provider before it"],
  ] as const) {
    if (name === "" || !told.startsWith(name)) continue;
    const rest = told.slice(name.length);
    if (rest === "") return { isSame: true, as: spelling };
    if (isDay(rest))
      return { isSame: true, as: ["by a dated alias", spelling].filter((one) => one !== null).join(", ") };
  }
  return { isSame: false, as: null };
}

function isDay(text: string): boolean {
  const [, year, , month, day] = DAY.exec(text) ?? [];
  const iso = `${year}-${month}-${day}`;
  const date = new Date(`${iso}T00:00:00Z`);
  return year !== undefined && !Number.isNaN(date.getTime()) && date.toISOString().startsWith(iso);
}
