import { PassThrough } from "node:stream";
import { buffer } from "node:stream/consumers";
import { expect, test } from "vitest";
import { exactInput } from "../../mcp-server/exact-input.ts";

test("messages that come in pieces of any size keep their numbers, and all else of their bytes", async () => {
  const came =
    '{"params":{"arguments":{"a":9007199254740993}},"id":2}\n{"id":9007199254740993}\r\n\n{"b":"Grüße 😀 9007199254740993"}\nno JSON 9007199254740993\n{"c":1';
  const bytes = Buffer.from(came);
  for (let size = 1; size < bytes.length; size += 1) {
    const source = new PassThrough();
    const read = buffer(exactInput(source));
    for (let from = 0; from < bytes.length; from += size) source.write(bytes.subarray(from, from + size));
    source.end();
    expect((await read).toString()).toBe(came.replace("9007199254740993", '"9007199254740993"'));
  }
});

test("a source that breaks breaks it", async () => {
  const source = new PassThrough();
  const read = buffer(exactInput(source));
  source.destroy(new Error("gone"));
  await expect(read).rejects.toThrow("gone");
});
