import * as z from "zod";
import type { Hex } from "../evidence/bytes.ts";
import { isInteroperable } from "../evidence/json-text.ts";

/** Lower-case hex without prefix. */
export const hex = (bytes: number) =>
  z.string().regex(new RegExp(`^[0-9a-f]{${bytes * 2}}$`), `${bytes} bytes as lower-case hex`);
/** Gives a field the type that its pattern holds it to. The one cast to {@link Hex}: a transform would have no JSON schema. */
const prefixed = (text: z.ZodString) => text as unknown as z.ZodType<Hex, string>;
/** 0x-prefixed hex of exactly `bytes` bytes, lower case. */
export const hex0x = (bytes: number) =>
  prefixed(z.string().regex(new RegExp(`^0x[0-9a-f]{${bytes * 2}}$`), `0x and ${bytes} bytes as lower-case hex`));
/** 0x-prefixed hex of any whole number of bytes. */
export const hexData = prefixed(
  z
    .string()
    .max(100_000)
    .regex(/^0x(?:[0-9a-f]{2})*$/, "0x and whole bytes as lower-case hex"),
);
/** Standard base64 with padding (RFC 4648 §4), at most `max` characters. */
export const base64 = (max: number) => z.base64().max(max);
/** RFC 3339 in UTC with milliseconds, as `Date.prototype.toISOString` writes it. */
export const instant = z.iso.datetime({ precision: 3 });
/** Base units of a token, decimal, no leading zero. */
export const baseUnits = z.string().regex(/^(?:0|[1-9][0-9]{0,77})$/, "base units as a decimal string");
/** CAIP-2 chain id of an EVM chain. */
export const network = z.string().regex(/^eip155:[1-9][0-9]{0,19}$/, "CAIP-2 id such as eip155:8453");
/** EVM address, lower case (no checksum case, so that equal addresses are equal strings). */
export const address = hex0x(20);
/** An address as a person writes it, in any case; read as lower case. */
export const anyCaseAddress = prefixed(
  z
    .string()
    .toLowerCase()
    .regex(/^0x[0-9a-f]{40}$/, "an address: 0x and 40 hex digits"),
);
/** Deepest nesting of what a receipt carries without knowing its shape. */
const MAX_OPAQUE_DEPTH = 16;
/** JSON that is kept without knowing its shape. */
export const isOpaque = (value: unknown): boolean => isInteroperable(value, MAX_OPAQUE_DEPTH);
