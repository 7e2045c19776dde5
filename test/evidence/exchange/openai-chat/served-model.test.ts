import fc from "fast-check";
import { expect, test } from "vitest";
import { compareModels } from "../../../../src/evidence/exchange/openai-chat/served-model.ts";

const name = fc.stringMatching(/^[A-Za-z0-9][A-Za-z0-9._-]{0,30}$/);
const day = fc
  .date({ min: new Date("1990-01-01"), max: new Date("2199-12-31"), noInvalidDate: true })
  .map((date) => date.toISOString().slice(0, 10));

test("a model is itself, its dated alias, and itself without its provider or with one added", () => {
  fc.assert(
    fc.property(name, name, day, fc.boolean(), (provider, model, date, compact) => {
      const dated = `${model}-${compact ? date.replaceAll("-", "") : date}`;
      expect(compareModels(model, model)).toEqual({ isSame: true, as: null });
      expect(compareModels(model, dated)).toEqual({ isSame: true, as: "by a dated alias" });
      expect(compareModels(`${provider}/${model}`, `${provider}/${dated}`).as).toBe("by a dated alias");
      expect(compareModels(`${provider}/${model}`, model)).toEqual({ isSame: true, as: "without its provider" });
      expect(compareModels(`${provider}/${model}`, dated).as).toBe("by a dated alias, without its provider");
      expect(compareModels(model, `${provider}/${model}`)).toEqual({ isSame: true, as: "with a provider before it" });
      expect(compareModels(model, `${provider}/${dated}`).as).toBe("by a dated alias, with a provider before it");
    }),
  );
});

test("every other name is another model", () => {
  fc.assert(
    fc.property(name, name, (asked, served) => {
      fc.pre(asked !== served);
      const rest = served.startsWith(asked) ? served.slice(asked.length) : "";
      fc.pre(!/^-\d/.test(rest));
      expect(compareModels(asked, served).isSame).toBe(false);
    }),
  );
  for (const [asked, served] of [
    ["gpt-4.1", "gpt-4.1-mini"],
    ["gpt-4.1", "gpt-4.1-mini-2025-04-14"],
    ["gpt-4.1", "openai/gpt-4.1-mini"],
    ["gpt-4.1", "router/openai/gpt-4.1"],
    ["openai/gpt-4.1", "azure/gpt-4.1"],
    ["openai/gpt-4.1", "router/openai/gpt-4.1"],
    ["gpt-4.1", "/gpt-4.1"],
    ["gpt-4.1-2025-04-14", "gpt-4.1"],
    ["gpt-4.1-2025-04-14", "gpt-4.1-2024-08-06"],
    ["gpt-4.1", "gpt-4.1-2025-13-01"],
    ["gpt-4.1", "gpt-4.1-2025-02-30"],
    ["gpt-4.1", "gpt-4.1-2025-0414"],
    ["gpt-4.1", "gpt-4.1-2025-04-14-turbo"],
    ["gpt-4.1", "GPT-4.1"],
    ["a/b/c", "c"],
    ["openai/", ""],
  ] as const)
    expect(compareModels(asked, served), `${asked} ${served}`).toEqual({ isSame: false, as: null });
  expect(compareModels("gpt-4.1", "gpt-4.1-2025-04-14").isSame).toBe(true);
  expect(compareModels("openai/gpt-4.1", "gpt-4.1-20250414").isSame).toBe(true);
});
