import { deflateRawSync, inflateRawSync } from "node:zlib";
import { Proof402Error } from "../errors.ts";
import { sha256, toHex, utf8 } from "../evidence/bytes.ts";
import type { Db } from "./database.ts";

/** A text under its hash: any number of rows share it. */
export type Content = {
  /** SHA-256 of the text's UTF-8 bytes, hex. */
  hash: string;
  text: string;
};

export const contentOf = (text: string): Content => ({ hash: hashOf(text), text });

const hashOf = (text: string): string => toHex(sha256(utf8(text)));

/** Most hashes in one question. */
const ASKED_AT_ONCE = 200;
/** Longest text, bytes: no receipt is longer. */
export const MAX_BYTES = 16_000_000;

/**
 * Keeps contents in the caller's immediate transaction, each one once. The caller writes its row after them. A stored content with
 * wrong bytes is written again: the right ones are at hand.
 */
export async function keepContents(tx: Db, contents: readonly Content[]): Promise<void> {
  if (contents.length === 0) return;
  const texts = new Map(contents.map(({ hash, text }) => [hash, text]));
  for (const hashes of inPages([...texts.keys()])) {
    const rows = await tx.selectFrom("contents").selectAll().where("hash", "in", hashes).execute();
    for (const { hash, packed } of rows) if (textOf(packed) === texts.get(hash)) texts.delete(hash);
  }
  for (const [hash, text] of texts) {
    const packed = deflateRawSync(text);
    await tx
      .insertInto("contents")
      .values({ hash, packed })
      .onConflict((conflict) => conflict.column("hash").doUpdateSet({ packed }))
      .execute();
  }
}

/** Forgets contents in the caller's immediate transaction, after the last row with them. */
export async function forgetContents(tx: Db, hashes: readonly string[]): Promise<void> {
  for (const page of inPages(hashes)) await tx.deleteFrom("contents").where("hash", "in", page).execute();
}

/** Found contents: the texts with their right hash, and the hashes of the others. */
export type FoundContents = { texts: Map<string, string>; missing: string[]; altered: string[] };

/** Looks for contents. Reads each one whole and checks it by its hash. */
export async function findContents(db: Db, hashes: readonly string[]): Promise<FoundContents> {
  const found: FoundContents = { texts: new Map(), missing: [], altered: [] };
  for (const page of inPages([...new Set(hashes)])) {
    const rows = await db.selectFrom("contents").selectAll().where("hash", "in", page).execute();
    for (const { hash, packed } of rows) {
      const text = textOf(packed);
      if (text !== null && hashOf(text) === hash) found.texts.set(hash, text);
      else found.altered.push(hash);
    }
    const there = new Set(rows.map(({ hash }) => hash));
    found.missing.push(...page.filter((hash) => !there.has(hash)));
  }
  return found;
}

/** The texts of contents. Throws Proof402Error `content_missing` and `content_altered`. */
export async function readContents(db: Db, hashes: readonly string[]): Promise<Map<string, string>> {
  const { texts, missing, altered } = await findContents(db, hashes);
  const [gone, other] = [missing[0], altered[0]];
  if (gone !== undefined)
    throw lost("content_missing", `Bytes of a stored receipt, with the hash ${gone}, are not stored any more.`);
  if (other !== undefined)
    throw lost("content_altered", `Bytes of a stored receipt do not have their hash ${other} any more.`);
  return texts;
}

const lost = (code: "content_missing" | "content_altered", message: string): Proof402Error =>
  new Proof402Error(code, message, {
    next: "The owner should run `proof402 audit` and look for a backup with these bytes. Nothing was judged from what is left.",
  });

function textOf(packed: Uint8Array): string | null {
  try {
    return inflateRawSync(packed, { maxOutputLength: MAX_BYTES }).toString("utf8");
  } catch {
    return null;
  }
}

const inPages = (hashes: readonly string[]): string[][] =>
  Array.from({ length: Math.ceil(hashes.length / ASKED_AT_ONCE) }, (_page, at) =>
    hashes.slice(at * ASKED_AT_ONCE, (at + 1) * ASKED_AT_ONCE),
  );
