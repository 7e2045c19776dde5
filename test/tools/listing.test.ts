import { expect, test } from "vitest";
import { LISTED } from "../../mcp-server/listed.artifact.ts";
import { makeListing } from "../../mcp-server/listing.ts";

test("the list of tools that an MCP server gives out is that of the tools' own definitions", () => {
  const made = makeListing();
  expect(made.tools.length).toBeGreaterThan(4);
  expect(JSON.stringify(LISTED) === JSON.stringify(made), "stale: npm run generate:listing").toBe(true);
});
