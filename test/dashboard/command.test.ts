import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { expect, onTestFinished, test } from "vitest";
import { CLI, runCli } from "../support/cli.ts";
import { writtenConfig } from "../support/written-config.ts";
import { openPlace, signIn } from "./owner.ts";

test("proof402 open prints its address, serves what its options let it, and ends at a signal", async () => {
  const place = await openPlace();
  place.clock.now = Date.now();
  onTestFinished(() => place.stop());
  const config = join(place.config.database, "../proof402.config.json");
  await writeFile(config, JSON.stringify({ ...writtenConfig(), database: place.config.database }));
  const document = readFileSync(join(import.meta.dirname, "../../docs/open.md"), "utf8");
  const [, block = ""] = /```\n(proof402 open[\s\S]*?)```/.exec(document) ?? [];
  const lines = block.trim().split("\n");
  expect(lines).toHaveLength(2);
  for (const line of lines) {
    // The port that the page names may be taken on this machine.
    const args = line
      .split(" ")
      .slice(1)
      .map((word) => (/^\d+$/.test(word) ? "0" : word));
    const child = spawn(process.execPath, [CLI, "--config", config, ...args], { stdio: ["ignore", "pipe", "ignore"] });
    onTestFinished(() => void child.kill("SIGKILL"));
    const printed = createInterface(child.stdout);
    const [first] = (await once(printed, "line")) as [string];
    const another = once(printed, "line");
    const owner = await signIn(first);
    const [next] = (await another) as [string];
    expect(next).not.toBe(first);
    expect((await signIn(next)).at).toBe(owner.at);
    const { text } = await owner.get(`/approvals/${await place.ask()}`);
    expect(text.includes("<button")).toBe(line.includes("--allow-approvals"));
    const { port } = new URL(first);
    const taken = await runCli(["--config", config, "open", "--port", port]);
    expect(taken).toMatchObject({ code: 1 });
    expect(taken.stderr).toContain("port_taken");
    child.kill("SIGTERM");
    expect((await once(child, "exit"))[0]).toBe(0);
  }
});
