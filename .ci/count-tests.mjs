/**
 * Reads reports of the test runner.
 * `failed REPORT`: prints the failed files, one a line. `counts REPORT [SECOND]`: prints how many tests passed and how many failed;
 * a file of SECOND, a later run of some files, counts by that one. A file that failed without a test in it counts as one.
 */
import { readFileSync } from "node:fs";

const [, , what, ...reports] = process.argv;
const files = new Map(
  reports.flatMap((path) => JSON.parse(readFileSync(path, "utf8")).testResults).map((file) => [file.name, file]),
);
const isFailed = ({ status }) => status === "failed";
if (what === "failed") {
  for (const file of files.values()) if (isFailed(file)) console.log(file.name);
} else {
  let passed = 0;
  let failed = 0;
  for (const file of files.values()) {
    passed += file.assertionResults.filter(({ status }) => status === "passed").length;
    const broken = file.assertionResults.filter(isFailed).length;
    failed += isFailed(file) ? Math.max(broken, 1) : broken;
  }
  console.log(passed, failed);
}
