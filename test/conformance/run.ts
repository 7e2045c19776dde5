import { parseArgs } from "node:util";
import { runEzkl } from "./ezkl.ts";
import { findManifests, runManifest, type VectorResult } from "./vectors.ts";

const USAGE = "usage: npm run conformance -- --vectors DIR [--json]\n";

/** Exit codes: 0 every vector that has a verifier came out as its manifest says, 1 some did not, 64 nothing could be run. */
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
  const judged = results.filter((one) => one.judged);
  const failed = judged.filter((one) => !one.met).length;
  const unjudged = results.length - judged.length;
  const summary = { passed: judged.length - failed, failed, noVerifierYet: unjudged };
  if (options.json) process.stdout.write(`${JSON.stringify({ ...summary, vectors: results }, null, 2)}\n`);
  else {
    for (const one of judged) {
      process.stdout.write(
        `${one.met ? "ok  " : "FAIL"} ${one.manifest}: ${one.file} at ${one.at}: expected ${one.expected}, got ${one.got}${one.met || one.message === "" ? "" : `: ${one.message}`}\n`,
      );
    }
    const kinds = results.filter((one) => !one.judged).map(({ kind }) => kind);
    for (const kind of new Set(kinds))
      process.stdout.write(`--   ${kind}: ${kinds.filter((one) => one === kind).length}, no verifier yet\n`);
    process.stdout.write(`${summary.passed} passed, ${summary.failed} failed, ${unjudged} without a verifier yet\n`);
  }
  if (judged.length > 0) return failed === 0 ? 0 : 1;
  process.stderr.write(
    `Nothing below ${options.vectors} has a verifier: no such vectors.json, and no folder in its folder ezkl.\n`,
  );
  return 64;
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
