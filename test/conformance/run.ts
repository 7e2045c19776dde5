import { parseArgs } from "node:util";
import { runEzkl } from "./ezkl.ts";
import { findManifests, runManifest, type VectorResult } from "./vectors.ts";

const USAGE = "usage: npm run conformance -- --vectors DIR [--json]\n";

/** Exit codes: 0 every vector came out as its manifest says, 1 some did not, 64 nothing could be run. */
async function main(): Promise<number> {
  const options = readOptions();
  if (options === null) {
    process.stderr.write(USAGE);
    return 64;
  }
  const manifests = await findManifests(options.vectors).catch(() => []);
  const results: VectorResult[] = [];
  for (const manifest of manifests) results.push(...(await runManifest(manifest, options.vectors)));
  results.push(...(await runEzkl(options.vectors)));
  if (manifests.length === 0 && results.length === 0) {
    process.stderr.write(`No vectors.json below ${options.vectors}, and no folder in its folder ezkl.\n`);
    return 64;
  }
  const failed = results.filter((one) => !one.met).length;
  const summary = { passed: results.length - failed, failed };
  if (options.json) process.stdout.write(`${JSON.stringify({ ...summary, vectors: results }, null, 2)}\n`);
  else {
    for (const one of results) {
      process.stdout.write(
        `${one.met ? "ok  " : "FAIL"} ${one.manifest}: ${one.file} at ${one.at}: expected ${one.expected}, got ${one.got}${one.met || one.message === "" ? "" : `: ${one.message}`}\n`,
      );
    }
    process.stdout.write(`${summary.passed} passed, ${summary.failed} failed\n`);
  }
  return failed === 0 && results.length > 0 ? 0 : 1;
}

function readOptions(): { vectors: string; json: boolean } | null {
  try {
    const { values } = parseArgs({
      options: { vectors: { type: "string" }, json: { type: "boolean", default: false } },
    });
    return values.vectors === undefined ? null : { vectors: values.vectors, json: values.json };
  } catch {
    return null;
  }
}

process.exitCode = await main();
