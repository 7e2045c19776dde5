/** A place in a JSON value. */
export type Path = readonly (string | number)[];

/** Every place that holds a value which is no container, and every empty container. */
export function leaves(value: unknown, path: Path = []): Path[] {
  if (typeof value !== "object" || value === null) return [path];
  const entries: [string | number, unknown][] = Array.isArray(value) ? [...value.entries()] : Object.entries(value);
  return entries.length === 0 ? [path] : entries.flatMap(([key, item]) => leaves(item, [...path, key]));
}

/** The same value with another one at `path`. */
export function replaceAt(value: unknown, path: Path, replace: (old: unknown) => unknown): unknown {
  const [key, ...rest] = path;
  if (key === undefined) return replace(value);
  if (Array.isArray(value)) return value.map((item, index) => (index === key ? replaceAt(item, rest, replace) : item));
  const object = value as Record<string, unknown>;
  return { ...object, [key]: replaceAt(object[key], rest, replace) };
}

/** Another value of the same type, of the same length for texts, so that a schema is likely to take it. */
export function otherThan(old: unknown): unknown {
  if (typeof old === "number") return old + 1;
  if (typeof old === "boolean") return !old;
  if (old === null) return 1;
  if (old instanceof Uint8Array) return old.with(0, (old[0] ?? 0) ^ 1);
  if (typeof old !== "string") return Array.isArray(old) ? [0] : { more: 0 };
  if (old === "") return "1";
  const last = old.at(-1);
  return old.slice(0, -1) + (last === "1" ? "2" : "1");
}

/** The same value with the keys of every object in the order that `rank` gives them. */
export function reorder(value: unknown, rank: (key: string) => number): unknown {
  if (Array.isArray(value)) return value.map((item) => reorder(item, rank));
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(
    Object.entries(value)
      .toSorted(([a], [b]) => rank(a) - rank(b))
      .map(([key, item]) => [key, reorder(item, rank)]),
  );
}
