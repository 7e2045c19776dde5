import { open, readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { bn254 } from "@noble/curves/bn254.js";
import { sha256, toHex } from "../../src/evidence/bytes.ts";
import { readEzklProof, readEzklSettings, writeEzklProof, type EzklProof } from "../../src/evidence/ezkl.ts";
import { kzgVerifierParams } from "../../src/evidence/kzg.ts";
import { createEzklEngine } from "../../src/ezkl/engine.ts";
import type { VectorResult } from "./vectors.ts";
import type { Outcome } from "./verifiers.ts";

/** The folder of EZKL's files: in it a folder per proof, with the files as EZKL's commands write them. */
const FOLDER = "ezkl";
const SRS_FILES = ["kzg.srs", "kzg"];
/** Bytes turned, spread over the proof and over the commitments to fixed columns in the key. */
const PROOF_TURNS = 8;
const KEY_TURNS = 4;

/**
 * A key file of EZKL (halo2's `VerifyingKey::write`, raw form): version, k and whether selectors are compressed, a byte each;
 * the number of fixed columns, 32 bits little-endian; that many commitments of 64 bytes; those of the permutation; selectors.
 */
const KEY_HEADER = 7;
const COMMITMENT = 64;

/** Where in a key the bytes of its fixed columns' commitments are, or null where it is of another layout. */
function commitmentsIn(key: Uint8Array): { from: number; count: number } | null {
  if (key.length < KEY_HEADER) return null;
  const count = new DataView(key.buffer, key.byteOffset).getUint32(3, true);
  return count > 0 && KEY_HEADER + count * COMMITMENT <= key.length ? { from: KEY_HEADER, count } : null;
}

/** Outcomes of an engine that did not get to judging: no refusal either. */
const NO_ANSWERS = ["ezkl_missing", "ezkl_timeout", "ezkl_crashed"];

type Files = { proof: EzklProof; key: Uint8Array; settings: Uint8Array; sG2: string };
type Changed = { file: string; what: string; expected: "pass" | "fail"; files: Files; pinned: Files };

/** Checks every proof below `DIR/ezkl`, and that it fails with proof, public numbers or key changed. Empty without that folder. */
export async function runEzkl(root: string): Promise<VectorResult[]> {
  const entries = await readdir(join(root, FOLDER), { withFileTypes: true }).catch(() => []);
  const names = entries.filter((entry) => entry.isDirectory()).map(({ name }) => name);
  const results: VectorResult[] = [];
  for (const name of names.toSorted()) results.push(...(await runProof(join(root, FOLDER, name), `${FOLDER}/${name}`)));
  return results;
}

async function runProof(directory: string, manifest: string): Promise<VectorResult[]> {
  const result = (one: Pick<Changed, "file" | "what" | "expected">, outcome: Outcome): VectorResult => ({
    manifest,
    file: one.file,
    kind: "zk.ezkl",
    at: one.what,
    expected: one.expected,
    got: outcome.pass ? "pass" : `fail (${outcome.check})`,
    met: outcome.pass === (one.expected === "pass") && !(!outcome.pass && NO_ANSWERS.includes(outcome.check)),
    judged: true,
    message: outcome.pass ? "" : outcome.message,
  });
  const genuine = await readFiles(directory).catch((error: unknown) => String(error));
  if (typeof genuine === "string")
    return [result({ file: "proof.json", what: "rest", expected: "pass" }, refused("unreadable", genuine))];
  const results: VectorResult[] = [];
  for (const one of changesOf(genuine)) {
    const outcome = await check(one.files, one.pinned);
    results.push(result(one, outcome));
    // A proof that does not verify as it is says nothing changed.
    if (one.expected === "pass" && !outcome.pass) break;
  }
  return results;
}

/** What `judgeEzkl` does with the files of a proof, but for comparing its numbers with a receipt's. */
async function check({ proof, key, settings, sG2 }: Files, pinned: Files): Promise<Outcome> {
  const digest = (bytes: Uint8Array): string => toHex(sha256(bytes));
  if (digest(key) !== digest(pinned.key)) return refused("proof_key_mismatch", "another key than the pinned one");
  if (readEzklSettings(settings) === null) return refused("ezkl_settings_unsupported", "settings of an unknown form");
  const srs = kzgVerifierParams(sG2);
  if (srs === null) return refused("srs_invalid", "[s]G2 is no point of the group");
  const outcome = await createEzklEngine()({ proof: writeEzklProof(proof), key, settings, srs });
  if (outcome === "valid") return { pass: true };
  return outcome === "refused"
    ? refused("proof_invalid", "the proof does not verify")
    : { pass: false, check: `ezkl_${outcome}`, message: "the engine gave no answer" };
}

const refused = (name: string, message: string): Outcome => ({ pass: false, check: name, message });

function changesOf(genuine: Files): Changed[] {
  const { proof, key } = genuine;
  const { from, count } = commitmentsIn(key) ?? { from: 0, count: 0 };
  const turned = (bytes: Uint8Array, at: number): Uint8Array => bytes.map((byte, k) => (k === at ? byte ^ 1 : byte));
  const places = (count: number, from: number, to: number): number[] =>
    Array.from({ length: count }, (_, k) => from + Math.floor(((to - from - 1) * k) / Math.max(1, count - 1)));
  const changed = (file: string, what: string, files: Files, pinned = genuine): Changed => ({
    file,
    what,
    expected: "fail",
    files,
    pinned,
  });
  return [
    { file: "proof.json", what: "rest", expected: "pass", files: genuine, pinned: genuine },
    ...places(PROOF_TURNS, 0, proof.proof.length).map((at) =>
      changed("proof.json", `byte ${at} turned`, {
        ...genuine,
        proof: { ...proof, proof: turned(proof.proof, at) },
      }),
    ),
    ...proof.instances.map((value, at) =>
      changed("proof.json", `instance ${at} raised`, {
        ...genuine,
        proof: { ...proof, instances: proof.instances.with(at, bn254.fields.Fr.add(value, 1n)) },
      }),
    ),
    changed("vk.key", "its last byte turned", { ...genuine, key: turned(key, key.length - 1) }),
    ...places(Math.min(KEY_TURNS, count), 0, count).map((column) => {
      const at = from + COMMITMENT * column + ((13 * column) % COMMITMENT);
      const files = { ...genuine, key: turned(key, at) };
      return changed("vk.key", `byte ${at} turned, were it pinned so`, files, files);
    }),
  ];
}

async function readFiles(directory: string): Promise<Files> {
  const read = async (name: string): Promise<Uint8Array> => new Uint8Array(await readFile(join(directory, name)));
  const proof = readEzklProof(await read("proof.json"));
  if (proof === null) throw new Error("proof.json is not a proof that EZKL writes");
  const key = await read("vk.key");
  if (commitmentsIn(key) === null) throw new Error("vk.key is not laid out as EZKL writes it");
  const names = await readdir(directory);
  const srs = SRS_FILES.find((name) => names.includes(name));
  if (srs === undefined) throw new Error(`none of ${SRS_FILES.join(", ")}`);
  return {
    proof,
    key,
    settings: await read("settings.json"),
    sG2: await readSG2(join(directory, srs)),
  };
}

/** The last 128 bytes of KZG parameters, in halo2curves' raw form, as EIP-197 has it. All before them can be gigabytes. */
async function readSG2(path: string): Promise<string> {
  const file = await open(path);
  try {
    const { size } = await file.stat();
    const { buffer } = await file.read(new Uint8Array(128), 0, 128, Math.max(0, size - 128));
    const { Fp } = bn254.fields;
    const word = (at: number): string => {
      const raw = BigInt(`0x${toHex(buffer.slice(32 * at, 32 * at + 32).reverse())}`);
      return Fp.div(raw % Fp.ORDER, (1n << 256n) % Fp.ORDER)
        .toString(16)
        .padStart(64, "0");
    };
    return [1, 0, 3, 2].map(word).join("");
  } finally {
    await file.close();
  }
}
