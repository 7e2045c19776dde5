import { describe, expect, test } from "vitest";
import { inputSchema } from "../../src/tools/input-schema.ts";
import { tools } from "../../src/tools/index.ts";

const MAX_TOOLS = 6;
const MAX_TOKENS = 1500;

describe("tool definitions", () => {
  test(`are at most ${MAX_TOOLS} and cost at most ${MAX_TOKENS} tokens (characters / 4)`, () => {
    const characters = tools.reduce(
      (sum, tool) => sum + tool.name.length + tool.description.length + JSON.stringify(inputSchema(tool)).length,
      0,
    );
    expect(tools.length).toBeLessThanOrEqual(MAX_TOOLS);
    expect(characters / 4).toBeLessThanOrEqual(MAX_TOKENS);
  });

  test("refuse fields they do not know, so that no argument is passed over", () => {
    for (const tool of tools) expect(tool.input.safeParse({ widen_policy: true }).success, tool.name).toBe(false);
  });

  test("only buy_inference moves money", () => {
    expect(tools.filter((tool) => !tool.annotations.readOnlyHint).map((tool) => tool.name)).toEqual(["buy_inference"]);
  });
});
