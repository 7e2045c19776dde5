import type { ExchangeFormat } from "./format.ts";
import { oip } from "./oip.ts";

/** The format that each kind of seller speaks, by the name that configurations and receipts give the kind. */
export const FORMATS = { oip } as const satisfies Record<string, ExchangeFormat>;

/** The format of a receipt's exchange, or null if this version does not know its kind of seller. */
export const formatOf = (provider: string): ExchangeFormat | null =>
  Object.hasOwn(FORMATS, provider) ? FORMATS[provider as keyof typeof FORMATS] : null;
