import { chmod, mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { isDeepStrictEqual } from "node:util";
import fc from "fast-check";
import { parse as parseJson, type ParseError } from "jsonc-parser";
import { parse as parseToml } from "smol-toml";
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from "vitest";
import { parse as parseYaml } from "yaml";
import { CLIENTS, type Client, type ClientWord } from "../../src/cli/install/clients.ts";
import { changed, entryIn } from "../../src/cli/install/formats.ts";
import { runCli } from "../support/cli.ts";

const WORDS = Object.keys(CLIENTS) as ClientWord[];
const server = {
  command: "/usr/bin/node",
  args: ["/opt/proof402/main.js", "mcp"],
  env: { PROOF402_CONFIG: '/a "b"/c.json' },
};

const READ: Record<Client["format"], (text: string) => unknown> = {
  json: (text) => {
    const errors: ParseError[] = [];
    const value: unknown = parseJson(text, errors, { allowTrailingComma: true });
    if (errors.length > 0) throw new Error("not JSON");
    return value;
  },
  toml: (text) => parseToml(text, { integersAsBigInt: "asNeeded" }),
  yaml: (text) => parseYaml(text) as unknown,
};

/** Files as people have them: comments, other servers, other indents, the table written in each way that the format has. */
const FILES: Record<Client["format"], (servers: string) => string[]> = {
  json: (servers) => [
    "",
    "{}",
    `{\n  // mine\n  "theme": "dark",\n  "${servers}": {\n    "other": { "command": "x" }, // kept\n  },\n}\n`,
    `{"${servers}":{"proof402":{"command":"old","args":[]}},"a":1}`,
    `{\r\n\t"a": [1,\r\n\t2]\r\n}\r\n`,
    `{ "${servers}": {} }`,
    `{\n  "${servers}": {\n    "a": { "b": 1 }, // why a\n    // "was": { "c": 2 },\n    "x": {}\n  },\n  "z": 1\n}\n`,
  ],
  toml: (servers) => [
    "",
    'model = "o3" # mine\n\n[profiles.x]\na = 1\n',
    `[${servers}.other]\ncommand = "x"\n# after`,
    "when = 2026-11-28T01:02:03Z\nbig = 9007199254740993\n",
  ],
  yaml: (servers) => [
    "",
    `# mine\nGOOSE_MODEL: x # kept\n${servers}:\n  other:\n    enabled: true\n    cmd: x\n`,
    `CHAT: 12345678901234567890\nHEX: 0xFF\nlong: >\n  ${"word ".repeat(40)}\n`,
    `${servers}:\n    # of mine\n    other: {cmd: x}\n`,
  ],
};

describe.each(WORDS)("%s", (word) => {
  const client: Client = CLIENTS[word];
  const place = [client.servers, "proof402"] as const;
  const entry = client.entry(server, "proof402");
  const { format } = client;

  test("its file gets the entry, keeps all else and its comments, and loses the entry again", () => {
    for (const text of FILES[format](client.servers)) {
      const after = changed(text, { format, place, entry });
      expect(after, text).not.toBeNull();
      expect(entryIn(after, format, place)).toEqual(entry);
      for (const [comment] of text.matchAll(/(?:#|\/\/) \w+/g)) expect(after).toContain(comment);
      expect(changed(after, { format, place, entry }), "twice is once").toBe(after);
      for (const line of text.split("\n").filter((one) => !one.includes("proof402") && !/^\{.*\}$/.test(one)))
        expect(after).toContain(line);
      const undone = changed(after, { format, place });
      expect(entryIn(undone, format, place)).toBeUndefined();
      const [was, is] = [text, undone ?? ""].map((one) => (one.trim() === "" ? {} : READ[format](one))) as Record<
        string,
        Record<string, unknown>
      >[];
      const { proof402: _old, ...others } = was![client.servers] ?? {};
      expect({ [client.servers]: {}, ...is }).toEqual({ ...was, [client.servers]: others });
    }
  });

  test("its file is left alone where it has another form", () => {
    const strange = {
      json: ["[]", "1", "{", `{"${client.servers}":[]}`, `{"${client.servers}":{},"${client.servers}":{"a":1}}`],
      toml: [
        "a = ",
        `${client.servers} = { other = { command = "x" } }`,
        `[${client.servers}.proof402]\ncommand = "x"\n`,
      ],
      yaml: [
        `${client.servers}: {other: {cmd: x}}\n`,
        `${client.servers}: {}\n`,
        "- a",
        "a: [",
        `${client.servers}: [a]`,
        "a: 1\na: 2\n",
        "--- 1\n--- 2\n",
      ],
    }[format];
    for (const text of strange) expect(changed(text, { format, place, entry }), text).toBeNull();
  });
});

test("no text at all makes a change touch another value", () => {
  const word = fc.constantFrom(...WORDS);
  const line = fc.constantFrom(
    "{",
    "}",
    '"a": 1,',
    '"mcpServers": {',
    "a: 1",
    "extensions:",
    "  b: {}",
    "[mcp_servers.x]",
    "x = 1",
    "#",
    "",
  );
  fc.assert(
    fc.property(word, fc.array(line, { maxLength: 7 }), (which, lines) => {
      const { format, servers, entry } = CLIENTS[which] as Client;
      const text = lines.join("\n");
      const after = changed(text, { format, place: [servers, "proof402"], entry: entry(server, "proof402") });
      if (after === null) return true;
      const [was, is] = [text, after].map(
        (one) => READ[format](format === "json" && one.trim() === "" ? "{}" : one) ?? {},
      ) as Record<string, unknown>[];
      const { [servers]: _a, ...before } = was!;
      const { [servers]: _b, ...now } = is!;
      return isDeepStrictEqual({ ...before }, { ...now });
    }),
    { numRuns: 300, examples: [["claude-code", ["", ""]]] },
  );
});

describe("the command", () => {
  let home: string;
  const inHome = (...args: string[]): ReturnType<typeof runCli> =>
    // Where a client's file lies is for the process to say: it asks the system for its user's home.
    runCli(args, { env: { HOME: home }, cwd: home, apart: true });
  beforeAll(async () => {
    home = await mkdtemp(join(tmpdir(), "proof402-install-"));
    const made = await inHome("init", "--network", "base-sepolia", "--wallet", "file", "--yes");
    if (made.code !== 0) throw new Error(made.stderr);
  });
  afterAll(() => rm(home, { recursive: true }));

  test("shows the change, starts the server as the client would, writes, and undoes all of it", async () => {
    const file = join(home, ".cursor", "mcp.json");
    const shown = await inHome("install", "--client", "cursor");
    expect(shown).toMatchObject({ code: 1 });
    expect(shown.stdout).toContain('+     "proof402": {');
    expect(shown.stderr).toContain("Started as Cursor would: 5 tools, and its buyer opens.");
    expect(shown.stderr).toContain("Nothing was written.");
    await expect(stat(file)).rejects.toThrow("ENOENT");

    const written = await inHome("install", "--client", "cursor", "--yes", "--json");
    expect(written).toMatchObject({ code: 0 });
    expect(JSON.parse(written.stdout)).toMatchObject({ client: "cursor", file, written: true, tools: 5 });
    const { mcpServers } = JSON.parse(await readFile(file, "utf8")) as { mcpServers: Record<string, unknown> };
    expect(mcpServers).toEqual({
      proof402: {
        command: process.execPath,
        args: [join(import.meta.dirname, "../../dist/src/cli/main.js"), "mcp"],
        env: { PROOF402_CONFIG: join(home, ".proof402", "proof402.config.json") },
      },
    });
    expect((await stat(file)).mode & 0o777).toBe(0o600);
    expect((await inHome("install", "--client", "cursor", "--no-check")).stdout).toContain("needs no change");
    expect(await inHome("install", "--client", "cursor", "--undo", "--yes")).toMatchObject({ code: 0 });
    expect(JSON.parse(await readFile(file, "utf8"))).toEqual({ mcpServers: {} });
    expect(await inHome("install", "--client", "cursor", "--undo", "--yes")).toMatchObject({ code: 64 });
  });

  test("touches no server that is not its own, by whichever name, and shows no secret", async () => {
    const file = join(home, "others.json");
    const others = { mcpServers: { x: { command: "x-mcp", env: { X_SECRET: "s3cret" } } }, theme: "dark" };
    const run = (...args: string[]) =>
      inHome("install", "--client", "cursor", "--file", file, "--no-check", "--yes", ...args);
    await writeFile(file, JSON.stringify(others), { mode: 0o600 });
    expect(await run("--name", "x")).toMatchObject({ code: 64 });
    expect(await run("--name", "x", "--undo")).toMatchObject({ code: 64 });
    const own = { command: "proof402", args: ["mcp"], env: { PROOF402_PRIVATE_KEY: "0xkey" } };
    await writeFile(file, JSON.stringify({ ...others, mcpServers: { ...others.mcpServers, proof402: own } }, null, 2), {
      mode: 0o600,
    });
    const replaced = await run("--json");
    expect(replaced.code).toBe(0);
    expect(replaced.stdout).not.toContain("0xkey");
    expect(await run("--undo")).toMatchObject({ code: 0 });
    expect(JSON.parse(await readFile(file, "utf8"))).toEqual(others);
  });

  test("leaves what a person wrote, and takes its own entry out of it", async () => {
    const file = join(home, ".config", "goose", "config.yaml");
    await mkdir(dirname(file), { recursive: true });
    const own = "# mine\nGOOSE_MODEL: x\nextensions:\n  other:\n    enabled: true\n";
    await writeFile(file, own, { mode: 0o600 });
    expect(await inHome("install", "--client", "goose", "--yes", "--no-check")).toMatchObject({ code: 0 });
    expect(await readFile(file, "utf8")).toContain(`  proof402:\n    enabled: true\n    type: stdio\n`);
    expect(await inHome("install", "--client", "goose", "--undo", "--yes")).toMatchObject({ code: 0 });
    expect(await readFile(file, "utf8")).toBe(own);
  });

  test("makes no file in a folder that everybody may write to, nor in a new folder there", async () => {
    const open = await mkdtemp(join(tmpdir(), "proof402-open-"));
    onTestFinished(() => rm(open, { recursive: true }));
    const run = (file: string) =>
      inHome("install", "--client", "cursor", "--file", join(open, file), "--no-check", "--yes", "--json");
    await chmod(open, 0o777);
    for (const file of ["mcp.json", join("new", "folder", "mcp.json")]) {
      const refused = await run(file);
      expect([refused.code, refused.stdout]).toEqual([1, expect.stringContaining('"file_unwritable"')]);
    }
    expect(await readdir(open)).toEqual([]);
    // There no one exchanges another's file.
    await chmod(open, 0o1777);
    expect(await run("mcp.json")).toMatchObject({ code: 0 });
  });

  test("writes nothing if the server could not buy there, and says why", async () => {
    const empty = await mkdtemp(join(tmpdir(), "proof402-install-"));
    onTestFinished(() => rm(empty, { recursive: true }));
    const env = { HOME: empty };
    const refused = await runCli(["install", "--client", "claude-desktop", "--yes", "--json"], {
      env,
      cwd: empty,
      apart: true,
    });
    expect(refused).toMatchObject({ code: 1 });
    expect(refused.stdout).toContain("client_check_failed");
    expect(refused.stdout).toContain("config_not_found");
    await expect(stat(join(empty, ".config", "Claude"))).rejects.toThrow("ENOENT");
  });

  test("prints links that add the server, for clients that know links", async () => {
    const cursor = await inHome("install", "--client", "cursor", "--link");
    const { searchParams } = new URL(cursor.stdout.trim());
    expect(searchParams.get("name")).toBe("proof402");
    expect(JSON.parse(Buffer.from(searchParams.get("config") ?? "", "base64").toString())).toHaveProperty("env");
    const vscode = new URL((await inHome("install", "--client", "vscode", "--link")).stdout.trim());
    expect(JSON.parse(decodeURIComponent(vscode.search.slice(1)))).toMatchObject({ name: "proof402", type: "stdio" });
    expect(await inHome("install", "--client", "codex", "--link")).toMatchObject({ code: 64 });
    expect(await inHome("install", "--client", "nothing")).toMatchObject({ code: 64 });
    expect(await inHome("install", "--client", "cursor", "--name", "a b")).toMatchObject({ code: 64 });
  });
});
