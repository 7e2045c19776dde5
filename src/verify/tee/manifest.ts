import type { ManifestEntry } from "../../evidence/attestation.ts";
import { equalBytes, fromUtf8, sha384, type Bytes } from "../../evidence/bytes.ts";
import { canonicalJson } from "../../evidence/canonical.ts";

/** What a model manifest says, and its digest as it is measured. Entries are null where it is no list of distinct models. */
export type Manifest = { sha384: Bytes; entries: readonly ManifestEntry[] | null };

export const readManifest = (bytes: Bytes): Manifest => ({ sha384: sha384(bytes), entries: readEntries(bytes) });

/** The entries of a manifest in its one canonical spelling (RFC 8785), which leaves no key twice and no byte unread. */
function readEntries(bytes: Bytes): ManifestEntry[] | null {
  let value: unknown;
  try {
    value = JSON.parse(fromUtf8(bytes));
    if (!equalBytes(canonicalJson(value), bytes)) return null;
  } catch {
    return null;
  }
  if (!Array.isArray(value) || value.length > 10_000) return null;
  const entries = value.flatMap((item: unknown): ManifestEntry[] =>
    isEntry(item) ? [{ name: item.name, sha256: item.sha256 }] : [],
  );
  const distinct = new Set(entries.map((entry) => entry.name)).size;
  return entries.length === value.length && distinct === entries.length ? entries : null;
}

const isEntry = (item: unknown): item is ManifestEntry =>
  typeof item === "object" &&
  item !== null &&
  "name" in item &&
  typeof item.name === "string" &&
  "sha256" in item &&
  typeof item.sha256 === "string" &&
  /^[0-9a-f]{64}$/.test(item.sha256) &&
  Object.keys(item).length === 2;
