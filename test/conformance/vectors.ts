import { readdir, readFile } from "node:fs/promises";
import { basename, dirname, join, relative } from "node:path";
import { z } from "zod";
import { sha256, toHex } from "../../src/evidence/bytes.ts";
import { VERIFIERS } from "./verifiers.ts";

/** The name of a manifest: a folder of vectors says with it what each file must come to. */
const MANIFEST = "vectors.json";
const DEFAULT_KIND = "tee.nitro";

const vectorSchema = z.object({
  /** A file beside the manifest. */
  file: z.string().min(1),
  /** The time to evaluate at. */
  at: z.iso.datetime({ offset: true }),
  expect: z.enum(["pass", "fail"]),
  /** The check that must refuse it. */
  check: z.string().optional(),
  kind: z.string().optional(),
  note: z.string().optional(),
});

const manifestSchema = z.object({
  kind: z.string().optional(),
  /** A root certificate beside the manifest, PEM. Only `testRoot` makes anything of it. */
  root: z.string().optional(),
  /** `root` is a test's own: documents under it are accepted, and every result says so. */
  testRoot: z.boolean().default(false),
  vectors: z.array(z.unknown()),
});
const kindSchema = z.object({ kind: z.string().optional() });

/** One vector's outcome against its expectation. */
export type VectorResult = {
  manifest: string;
  file: string;
  kind: string;
  at: string;
  expected: string;
  got: string;
  met: boolean;
  /** There is a verifier of its kind. Without one it is neither met nor failed. */
  judged: boolean;
  message: string;
};

/** Every manifest below a directory, in a stable order. Throws where the directory cannot be read. */
export async function findManifests(directory: string): Promise<string[]> {
  const entries = await readdir(directory, { withFileTypes: true, recursive: true });
  return entries
    .filter((entry) => entry.isFile() && entry.name === MANIFEST)
    .map((entry) => join(entry.parentPath, entry.name))
    .toSorted();
}

/** Runs one manifest. What cannot be read or judged is a vector that was not met, with the reason; never an exception. */
export async function runManifest(path: string, root: string): Promise<VectorResult[]> {
  const manifest = relative(root, path);
  const failed = (file: string, message: string): VectorResult => ({
    manifest,
    file,
    kind: "",
    at: "",
    expected: "",
    got: "unreadable",
    met: false,
    judged: true,
    message,
  });
  const parsed = manifestSchema.safeParse(await readJson(path));
  if (!parsed.success) return [failed(basename(path), "the manifest is not a list of vectors")];
  const { vectors, root: rootFile, testRoot } = parsed.data;
  const testRoots = testRoot ? await readRoot(dirname(path), rootFile) : [];
  if (testRoots === null) return [failed(rootFile ?? "root", "the test root could not be read")];
  return Promise.all(
    vectors.map(async (item, index) => {
      const kind = kindSchema.safeParse(item).data?.kind ?? parsed.data.kind ?? DEFAULT_KIND;
      if (!Object.hasOwn(VERIFIERS, kind))
        return {
          ...failed(`vectors[${index}]`, `there is no verifier for "${kind}" yet`),
          kind,
          got: "no verifier",
          judged: false,
        };
      const vector = vectorSchema.safeParse(item);
      if (!vector.success) return failed(`vectors[${index}]`, z.prettifyError(vector.error));
      return runVector(vector.data, {
        directory: dirname(path),
        manifest,
        kind,
        testRoots,
      });
    }),
  );
}

async function runVector(
  vector: z.infer<typeof vectorSchema>,
  where: { directory: string; manifest: string; kind: string; testRoots: readonly string[] },
): Promise<VectorResult> {
  const expected = vector.expect === "pass" ? "pass" : `fail${vector.check === undefined ? "" : ` (${vector.check})`}`;
  const result = (got: string, met: boolean, message: string): VectorResult => ({
    manifest: where.manifest,
    file: vector.file,
    kind: where.kind,
    at: vector.at,
    expected,
    got: where.testRoots.length === 0 ? got : `${got}, under a test root`,
    met,
    judged: true,
    message,
  });
  const verifier = Object.hasOwn(VERIFIERS, where.kind) ? VERIFIERS[where.kind] : undefined;
  if (verifier === undefined) return result("no verifier", false, "");
  if (basename(vector.file) !== vector.file)
    return result("unreadable", false, "the file must stand beside its manifest");
  let file: Uint8Array;
  try {
    file = new Uint8Array(await readFile(join(where.directory, vector.file)));
  } catch {
    return result("unreadable", false, "the file could not be read");
  }
  const outcome = await verifier(file, new Date(vector.at), where.testRoots);
  if (outcome.pass) return result("pass", vector.expect === "pass", "");
  const met = vector.expect === "fail" && (vector.check === undefined || vector.check === outcome.check);
  return result(`fail (${outcome.check})`, met, outcome.message);
}

/** SHA-256 of a PEM certificate's DER, hex; null where there is none. */
async function readRoot(directory: string, file: string | undefined): Promise<string[] | null> {
  if (file === undefined || basename(file) !== file) return null;
  const text = await readFile(join(directory, file), "utf8").catch(() => "");
  const pem = /-----BEGIN CERTIFICATE-----([\sA-Za-z0-9+/=]+)-----END CERTIFICATE-----/.exec(text)?.[1];
  return pem === undefined ? null : [toHex(sha256(new Uint8Array(Buffer.from(pem, "base64"))))];
}

async function readJson(path: string): Promise<unknown> {
  try {
    return JSON.parse(await readFile(path, "utf8"));
  } catch {
    return undefined;
  }
}
