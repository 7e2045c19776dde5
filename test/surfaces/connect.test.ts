import { chmod, mkdtemp, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { expect, onTestFinished, test } from "vitest";
import { CLIENTS } from "../../src/cli/connect/clients.ts";
import { withAddition, withoutAddition } from "../../src/cli/connect/lines.ts";
import { runCli } from "../support/cli.ts";

const reach = { baseUrl: "http://127.0.0.1:4020/v1", token: "p402_proxy_x", model: "devnet-chat" };

const texts = fc
  .array(
    fc.constantFrom(
      "openai-api-key: mine",
      "export OPENAI_API_KEY=mine",
      "OPENAI_BASE_URL = x",
      "# a comment",
      "",
      "models:",
      "  - name: other",
      "- name: other",
      "model_list:",
      "other: 1",
    ),
    { maxLength: 8 },
  )
  .map((lines) => lines.join("\n"));

test.each(Object.keys(CLIENTS))("what connecting %s changes is taken back whole", (word) => {
  const addition = CLIENTS[word]!.addition(reach);
  fc.assert(
    fc.property(texts, (text) => {
      const connected = withAddition(text, addition);
      if (connected === null) return;
      for (const line of addition.lines) expect(connected).toContain(line);
      expect(withAddition(connected, addition)).toBe(connected);
      expect(withoutAddition(connected)?.trimEnd()).toBe(text.trimEnd());
    }),
    { numRuns: 100 },
  );
  expect(withoutAddition(withAddition(null, addition) ?? "")).toBe("");
  expect(withoutAddition("models: []\n")).toBeNull();
});

test("a list in another form is left to a person", () => {
  const addition = CLIENTS["continue"]!.addition(reach);
  for (const other of ["models: []\n", "models: [a, b]\n", "models:\n", "models:\n  name: x\n"])
    expect(withAddition(other, addition)).toBeNull();
});

test("the command shows the change, keeps the client's own key, and undoes both", async () => {
  const folder = await mkdtemp(join(tmpdir(), "proof402-connect-"));
  onTestFinished(() => rm(folder, { recursive: true }));
  const config = join(folder, "proof402.config.json");
  const file = join(folder, ".env");
  const own = "OTHER=1\nOPENAI_API_KEY=sk-mine\n";
  await writeFile(file, own, { mode: 0o600 });
  const run = (...args: string[]): ReturnType<typeof runCli> =>
    runCli(["--config", config, "connect", "ai-sdk", "--file", file, ...args]);

  const declined = await run();
  expect(declined).toMatchObject({ code: 1 });
  expect(declined.stdout).toContain("+ OPENAI_BASE_URL=http://127.0.0.1:4020/v1");
  expect(await readFile(file, "utf8")).toBe(own);

  const written = await run("--yes");
  expect(written).toMatchObject({ code: 0 });
  expect(written.stderr).toContain("Name models as openai.chat(NAME)");
  const token = (await readFile(join(folder, "proxy-token"), "utf8")).trim();
  const connected = await readFile(file, "utf8");
  expect(connected.split("\n").filter((line) => !line.startsWith("#"))).toEqual([
    "OTHER=1",
    "OPENAI_BASE_URL=http://127.0.0.1:4020/v1",
    `OPENAI_API_KEY=${token}`,
    "",
  ]);
  expect((await stat(file)).mode & 0o777).toBe(0o600);
  expect(await run("--undo", "--yes")).toMatchObject({ code: 0 });
  await chmod(file, 0o644);
  expect((await run("--yes")).stderr).toContain(`Others may read ${file}.`);
  expect((await stat(file)).mode & 0o777).toBe(0o600);
  const again = await run("--yes", "--json");
  expect(JSON.parse(again.stdout)).toMatchObject({ client: "ai-sdk", changes: [], written: false });
  expect(await run("--undo", "--yes")).toMatchObject({ code: 0 });
  expect(await readFile(file, "utf8")).toBe(own);
  expect(await run("--undo", "--yes", "--json")).toMatchObject({ code: 64 });
});

test("a client whose file names a model wants one, and an unknown client is named", async () => {
  const folder = await mkdtemp(join(tmpdir(), "proof402-connect-"));
  onTestFinished(() => rm(folder, { recursive: true }));
  const file = join(folder, "config.yaml");
  const config = join(folder, "proof402.config.json");
  expect(await runCli(["--config", config, "connect", "litellm", "--file", file, "--yes"])).toMatchObject({ code: 64 });
  expect(await runCli(["--config", config, "connect", "other"])).toMatchObject({ code: 64 });
  const made = await runCli(["--config", config, "connect", "litellm", "--file", file, "--model", "m", "--yes"]);
  expect(made).toMatchObject({ code: 0 });
  expect(await readFile(file, "utf8")).toContain('  - model_name: "m"\n    litellm_params:\n      model: "openai/m"\n');
  expect((await stat(file)).mode & 0o777).toBe(0o600);
  expect(await runCli(["--config", config, "connect", "litellm", "--file", file, "--undo", "--yes"])).toMatchObject({
    code: 0,
  });
  await expect(stat(file)).rejects.toThrow("ENOENT");
  const aider = await runCli(["--config", config, "connect", "aider", "--file", file, "--model", "m", "--yes"]);
  expect(aider.stderr).toContain("aider --model openai/m");
  expect(await readFile(file, "utf8")).toContain('model: "openai/m"\n');
});
