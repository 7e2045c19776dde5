import type { Buyer } from "proof402";

/** A buyer opened at the first call in need of it, and again after a failure. */
export type OnceOpen = {
  buyer: () => Promise<Buyer>;
  /** Closes it if it was opened. Never rejects. */
  close: () => Promise<void>;
};

export function onceOpen(open: () => Promise<Buyer>): OnceOpen {
  let opened: Promise<Buyer> | null = null;
  return {
    buyer: () =>
      (opened ??= open().catch((error: unknown) => {
        // A configuration that is mended while the client runs is found at the next call.
        opened = null;
        throw error;
      })),
    async close() {
      await opened?.then((one) => one.close()).catch(() => undefined);
    },
  };
}

/** Signals at which a server ends. */
export const SIGNALS = ["SIGINT", "SIGTERM", "SIGHUP"] as const;
