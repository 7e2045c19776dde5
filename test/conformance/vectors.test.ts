import { access, copyFile, mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { toBase64 } from "../../src/evidence/bytes.ts";
import { makeChain, payloadOf, signDocument } from "../support/nitro-document.ts";
import { vectorsDirectory } from "../support/vectors.ts";
import { findManifests, runManifest } from "./vectors.ts";

const shared = await vectorsDirectory();

describe.skipIf(shared === null)("genuine vectors", () => {
  test("come out as their manifests say", async () => {
    const manifests = await findManifests(shared ?? "");
    expect(manifests.length).toBeGreaterThan(0);
    for (const manifest of manifests) {
      const results = await runManifest(manifest, shared ?? "");
      expect(results.length).toBeGreaterThan(0);
      expect(results.filter((one) => !one.met)).toEqual([]);
    }
  });

  test("a wrong expectation is not met", async () => {
    const document = join(directory, "doc.bin");
    await copyFile(join(shared ?? "", "nitro", "oyster-aws.bin"), document);
    const at = "2024-12-13T07:37:58.960Z";
    await writeManifest([
      { file: "doc.bin", at, expect: "pass" },
      { file: "doc.bin", at, expect: "fail" },
      { file: "doc.bin", at: "2026-01-01T00:00:00Z", expect: "fail", check: "signature" },
      { file: "doc.bin", at: "2026-01-01T00:00:00Z", expect: "fail", check: "certificate-validity" },
    ]);
    expect((await run()).map((one) => one.met)).toEqual([true, false, false, true]);
  });
});

let directory: string;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "proof402-vectors-"));
});
afterEach(() => rm(directory, { recursive: true, force: true }));

const writeManifest = (vectors: unknown): Promise<void> =>
  writeFile(join(directory, "vectors.json"), JSON.stringify({ vectors }));
const run = () => runManifest(join(directory, "vectors.json"), directory);

describe("a manifest", () => {
  test("is found at any depth", async () => {
    await mkdir(join(directory, "a", "b"), { recursive: true });
    await writeFile(join(directory, "a", "b", "vectors.json"), "{}");
    expect(await findManifests(directory)).toEqual([join(directory, "a", "b", "vectors.json")]);
  });

  test.each([
    ["a missing file", { file: "absent.bin", at: "2026-01-01T00:00:00Z", expect: "fail" }],
    ["a file elsewhere", { file: "../secret", at: "2026-01-01T00:00:00Z", expect: "fail" }],
    ["no time", { file: "vectors.json", expect: "fail" }],
    ["no sense", 7],
  ])("with %s is not met, whatever it expects", async (_name, vector) => {
    await writeManifest([vector]);
    expect((await run()).map(({ met, judged }) => [met, judged])).toEqual([[false, true]]);
  });

  test("of a kind that has no verifier is neither met nor failed, whatever it expects and holds", async () => {
    const at = "2026-01-01T00:00:00Z";
    await writeManifest([
      { file: "vectors.json", at, expect: "fail", kind: "tee.magic" },
      { file: "vectors.json", at, expect: "pass", kind: "tee.magic" },
      { folder: "elsewhere", kind: "toString" },
    ]);
    expect((await run()).map(({ met, judged, kind }) => [met, judged, kind])).toEqual([
      [false, false, "tee.magic"],
      [false, false, "tee.magic"],
      [false, false, "toString"],
    ]);
  });

  test("that is no JSON is one vector that is not met", async () => {
    await writeFile(join(directory, "vectors.json"), "{");
    expect((await run()).map((one) => one.met)).toEqual([false]);
  });

  test("names a root of a test's own only with the flag that says so, and every result repeats it", async () => {
    const chain = await makeChain();
    const pem = `-----BEGIN CERTIFICATE-----\n${toBase64(chain.ders[0]!)}\n-----END CERTIFICATE-----\n`;
    await writeFile(join(directory, "mine.pem"), pem);
    await writeFile(join(directory, "doc.bin"), await signDocument(chain, payloadOf(chain)));
    const judged = async (manifest: object) => {
      const vectors = [{ file: "doc.bin", at: chain.at.toISOString(), expect: "pass" }];
      await writeFile(join(directory, "vectors.json"), JSON.stringify({ root: "mine.pem", ...manifest, vectors }));
      return (await run())[0];
    };
    expect(await judged({})).toMatchObject({ met: false, got: "fail (trust-anchor)" });
    expect(await judged({ testRoot: false })).toMatchObject({ met: false });
    expect(await judged({ testRoot: true })).toMatchObject({ met: true, got: "pass, under a test root" });
    expect(await judged({ testRoot: true, root: "../mine.pem" })).toMatchObject({ met: false, got: "unreadable" });
  });

  test("cannot name a root to trust without saying that it is a test's own", async () => {
    await access(directory);
    await writeFile(
      join(directory, "vectors.json"),
      JSON.stringify({
        root: "mine.pem",
        vectors: [{ file: "vectors.json", at: "2026-01-01T00:00:00Z", expect: "pass" }],
      }),
    );
    expect((await run())[0]).toMatchObject({ met: false, got: "fail (malformed)" });
  });
});
