import { createHash } from "node:crypto";
import { readdir, readFile } from "node:fs/promises";
import { join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { canonicalJson } from "../evidence/canonical.ts";
import { sha384, type Bytes } from "../evidence/bytes.ts";

/** Rooms whose files are a node's code. */
const CODE_ROOMS = ["../node", "../onnx", "../evidence"] as const;

/**
 * PCR0 of a simulated enclave: SHA-384 of the JCS list of (path, SHA-256) of the code files as they run, source or built.
 * A real enclave measures its whole image instead.
 */
export async function measureCode(): Promise<Bytes> {
  const files: { path: string; sha256: string }[] = [];
  const base = fileURLToPath(new URL("..", import.meta.url));
  for (const room of CODE_ROOMS) {
    const directory = fileURLToPath(new URL(room, import.meta.url));
    for (const name of await readdir(directory, { recursive: true })) {
      if (!/\.(?:js|ts)$/.test(name) || name.endsWith(".d.ts")) continue;
      const path = join(directory, name);
      files.push({
        path: relative(base, path),
        sha256: createHash("sha256")
          .update(await readFile(path))
          .digest("hex"),
      });
    }
  }
  files.sort((a, b) => (a.path < b.path ? -1 : 1));
  return sha384(canonicalJson(files));
}

/** PCR1 of a simulated enclave: SHA-384 of the JCS runtime facts. */
export const measureRuntime = (): Bytes =>
  sha384(
    canonicalJson({ node: process.version, platform: process.platform, arch: process.arch, v8: process.versions.v8 }),
  );
