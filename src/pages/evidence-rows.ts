import { fromBase64, fromHex, sha256, toHex, type Bytes } from "../evidence/bytes.ts";
import { canonicalSha256 } from "../evidence/canonical.ts";
import type { Evidence, KnownEvidence } from "../receipts/schema.ts";
import { timeText, type FactRow } from "./fact-rows.ts";

type Kind = KnownEvidence["kind"];
type Named = Record<string, string | number | null | undefined>;
type Reader<K extends Kind> = (evidence: Extract<KnownEvidence, { kind: K }>) => Named;

/** The hash and the size of bytes too long to read. */
const digest = (bytes: Bytes): string => `SHA-256 ${toHex(sha256(bytes))} (${bytes.length} bytes)`;
function digest64(text: string): string {
  try {
    return digest(fromBase64(text));
  } catch {
    return `${text.length} characters, not in canonical base64`;
  }
}
const seconds = (time: number): string => timeText(time * 1000);

const signed: Reader<"signature.tee"> = ({ teeId, requestHash, outputHash, timestamp, signature }) => ({
  "signing key": teeId,
  "signed request hash": requestHash,
  "signed answer hash": outputHash,
  "signed at (the seller's clock)": seconds(timestamp),
  signature: digest64(signature),
});

/** What a reader compares of each kind of evidence: hashes, keys, roots, places and times, as the file holds them. */
const READERS: { [K in Kind]: Reader<K> } = {
  "tee.nitro": ({ document, nonce, publicKey, fetchedAt }) => ({
    "attestation document": digest64(document),
    "buyer's nonce": nonce,
    "signing key": digest64(publicKey),
    "received (the buyer's clock)": fetchedAt,
  }),
  "model.manifest": ({ manifest }) => ({ "list of models": digest64(manifest) }),
  "signature.key": ({ publicKey }) => ({ "signing key": digest64(publicKey) }),
  "signature.tee": signed,
  "signature.opengradient": ({ kind: _kind, ...rest }) => signed({ kind: "signature.tee", ...rest }),
  "signature.oyster": ({ signature }) => ({ signature }),
  "settlement.x402": (one) => ({
    outcome: one.outcome,
    transaction: one.transaction,
    chain: one.network,
    block: `${one.blockNumber}, ${one.blockHash}`,
    "block's time (the chain's clock)": seconds(one.blockTime),
    "logs of the token": one.logs.length,
    "payer's signature": one.signature,
  }),
  "inclusion.merkle": (one) => ({
    root: one.root,
    batch: `${one.count} answers, a path of ${one.path.length} hashes`,
    contract: one.log.address,
    transaction: one.transaction,
    chain: one.network,
    block: `${one.blockNumber}, ${one.blockHash}`,
    "block's time (the chain's clock)": seconds(one.blockTime),
  }),
  "zk.groth16": ({ proof, key, signals }) => ({
    proof: digest(fromHex(proof)),
    "proof's key": `SHA-256 ${toHex(canonicalSha256(key))} (${key.setup} setup)`,
    "proved model file": key.modelSha256,
    "public signals": signals.length,
  }),
  "zk.ezkl": ({ proof, key, settings }) => ({
    proof: digest64(proof),
    "proof's key": digest64(key),
    "circuit's settings": digest64(settings),
  }),
  "replay.onnx": ({ modelSha256, runtime, compared, outputs }) => ({
    "re-executed model file": modelSha256,
    runtime: `${runtime.name} ${runtime.version}`,
    outputs: outputs === undefined ? compared?.outputsSha256 : `${outputs.length}, in full`,
    difference: compared?.difference,
  }),
  "transfer.http": ({ coding, cut }) => ({ coding: coding?.name, cut }),
  "tls.peer": ({ certificateSha256 }) => ({ "certificate seen by the buyer": certificateSha256 }),
  "served.fallback": ({ used, model }) => ({ "fallback used": used, "fallback model": model }),
  "registry.tee": (one) => ({
    registry: `${one.contract} on ${one.network}, in block ${one.blockNumber}`,
    "entry's place": one.origin,
    "entry's key": one.teeId,
    "entry's certificate": one.certificateSha256,
    "entry's code": one.pcrHash,
  }),
  contradiction: ({ layer, code }) => ({ "contradicted layer": layer, code }),
  disputed: ({ of }) => ({ "told in several ways": of }),
};

/** A piece of evidence in rows. Of a kind unknown to this version, its name alone. */
export function evidenceRows(evidence: Evidence): FactRow[] {
  const { kind } = evidence;
  const read = Object.hasOwn(READERS, kind) ? (READERS[kind as Kind] as (one: Evidence) => Named) : null;
  if (read === null) return [{ name: "unknown evidence", words: kind }];
  return Object.entries(read(evidence)).flatMap(([name, words]) =>
    words === undefined || words === null ? [] : [{ name, words: String(words) }],
  );
}
