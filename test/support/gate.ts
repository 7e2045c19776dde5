export type Gate<T = void> = { opened: Promise<T>; open: (value: T) => void };

/** A promise to be kept from outside: a place to wait at until it is opened. */
export function gate<T = void>(): Gate<T> {
  let open: (value: T) => void = () => undefined;
  const opened = new Promise<T>((resolve) => (open = resolve));
  return { opened, open };
}
