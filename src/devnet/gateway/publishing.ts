import type { Hex } from "viem";
import { fromBase64, sha256, toBase64, toHex0x, utf8 } from "../../evidence/bytes.ts";
import { buildInclusionTree, publishBatch, type InclusionLeaf } from "../../evidence/inclusion.ts";
import { serveLocally } from "../serve.ts";
import type { Published } from "./gateway.ts";

/** Anchors a root with the id of its blob. */
export type AnchorBatch = (batch: { root: Hex; count: number; blobId: Hex }) => Promise<unknown>;

/** Publishes batches of hashes: in a small store of blobs as Walrus has it, and by their roots on chain. */
export type Publisher = {
  /** Where blobs are read: `GET /v1/blobs/ID`. */
  aggregator: string;
  publish(exchange: Published): void;
  /** Publishes what waits, and ends. */
  stop(): Promise<void>;
};

const MAX_LEAVES = 20;

/** Starts the store. A batch is anchored when it is full, or `waitMs` after its first answer. */
export async function openPublisher(anchor: AnchorBatch, { waitMs }: { waitMs: number }): Promise<Publisher> {
  const blobs = new Map<string, Uint8Array<ArrayBuffer>>();
  const { origin, stop } = await serveLocally((request) => {
    const id = /^\/v1\/blobs\/([A-Za-z0-9_-]+)$/.exec(new URL(request.url).pathname)?.[1];
    const blob = id === undefined ? undefined : blobs.get(id);
    return blob === undefined ? new Response(null, { status: 404 }) : new Response(blob);
  });
  let waiting: InclusionLeaf[] = [];
  let timer: NodeJS.Timeout | null = null;
  let last: Promise<unknown> = Promise.resolve();

  const flush = (): void => {
    if (timer !== null) clearTimeout(timer);
    timer = null;
    const leaves = waiting;
    waiting = [];
    if (leaves.length === 0) return;
    const tree = buildInclusionTree(leaves);
    const blob = utf8(JSON.stringify(publishBatch(leaves, tree)));
    const id = toBase64(sha256(blob)).replaceAll("+", "-").replaceAll("/", "_").replace(/=+$/, "");
    blobs.set(id, blob);
    // The event holds the id's text, and not the bytes that it stands for.
    const batch = { root: tree.root, count: leaves.length, blobId: toHex0x(utf8(id)) };
    last = last.then(() => anchor(batch)).catch(() => undefined);
  };

  return {
    aggregator: origin,
    publish({ mode, fields }) {
      // Plain text is published by no devnet: it would need a person's yes for nothing.
      if (mode !== "batch") return;
      waiting.push({
        teeId: `0x${fields.tee_id.slice(2)}`,
        inputHash: `0x${fields.tee_request_hash}`,
        outputHash: `0x${fields.tee_output_hash}`,
        signature: toHex0x(fromBase64(fields.tee_signature)),
        timestamp: fields.tee_timestamp,
      });
      if (waiting.length >= MAX_LEAVES) flush();
      else timer ??= setTimeout(flush, waitMs);
    },
    async stop() {
      flush();
      await last;
      await stop();
    },
  };
}
