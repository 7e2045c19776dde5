import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, it, onTestFinished } from "vitest";
import { createReceipt, serializeReceipt } from "../../src/receipts/receipt.ts";
import { openToRead } from "../../src/storage/database.ts";
import { runCli } from "../support/cli.ts";
import { databasePlace } from "../support/database-place.ts";
import { receiptCore } from "../support/receipt-core.ts";
import { writtenConfig } from "../support/written-config.ts";

it("verify of a file makes no tables in the configured database", async () => {
  const folder = await mkdtemp(join(tmpdir(), "proof402-verify-"));
  onTestFinished(() => rm(folder, { recursive: true, force: true }));
  const database = await databasePlace(":memory:");
  const [config, file] = [join(folder, "proof402.config.json"), join(folder, "receipt.json")];
  await writeFile(config, JSON.stringify({ ...writtenConfig(), database }), { mode: 0o600 });
  await writeFile(file, serializeReceipt(createReceipt(receiptCore("alone"))));
  const judged = await runCli(["--config", config, "--json", "verify", file]);
  expect(JSON.parse(judged.stdout)).toMatchObject({ policy: { known: false } });
  const { db, schema } = await openToRead(database);
  await db.destroy();
  expect(schema).toBe(0);
});
