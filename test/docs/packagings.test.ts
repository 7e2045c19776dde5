import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { packagings } from "../../scripts/write-packagings.ts";
import { tools } from "../../src/tools/index.ts";

const root = join(import.meta.dirname, "../..");
const read = (path: string): Promise<string> => readFile(join(root, path), "utf8");
const manifest = JSON.parse(await read("package.json")) as Parameters<typeof packagings>[0] & {
  bin: Record<string, string>;
};
const made = packagings(manifest);

test.each(Object.keys(made))("%s is as the package says: npm run generate:docs", async (path) => {
  expect(JSON.parse(await read(path))).toEqual(made[path]);
});

test("the registry's file keeps the bounds of its schema (2025-12-11)", () => {
  const server = made["server.json"] as { name: string; description: string; version: string };
  expect(server.name).toMatch(/^[a-zA-Z0-9.-]+\/[a-zA-Z0-9._-]+$/);
  expect(server.description.length).toBeLessThanOrEqual(100);
  expect(server.version).not.toMatch(/[\^~*]|latest/);
});

test("the skill names each tool, and as many as there are", async () => {
  const skill = await read("plugins/proof402/skills/buy-verified-inference/SKILL.md");
  expect(skill).toMatch(/^---\nname: buy-verified-inference\ndescription: [^\n]{1,1024}\n---\n/);
  expect(tools).toHaveLength(5);
  expect(skill).toContain("five tools");
  for (const { name } of tools.filter((tool) => tool.name !== "spending")) expect(skill).toContain(`\`${name}\``);
});

test("the Docker file starts the package's command with a Node that the package takes", async () => {
  const file = await read("Dockerfile");
  const [least] = /\d+/.exec(manifest.engines.node) ?? [];
  for (const [, major] of file.matchAll(/^FROM node:(\d+)-slim/gm))
    expect(Number(major)).toBeGreaterThanOrEqual(Number(least));
  const [, entry = ""] = /^ENTRYPOINT (.*)$/m.exec(file) ?? [];
  expect(manifest.bin).toHaveProperty(JSON.parse(entry) as string[]);
});
