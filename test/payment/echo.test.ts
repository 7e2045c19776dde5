import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { echoFor, readEcho } from "../../src/payment/echo.ts";
import { SECRET, reservation } from "./fixtures.ts";

const { request } = reservation();
const sent = (required: object): ReturnType<typeof echoFor> => echoFor(readEcho(required), SECRET, request);

describe("what a payment sends back of a 402", () => {
  it("is the resource whose URL was asked, as the seller wrote it", () => {
    const resource = { url: request.url, description: "One inference", mimeType: "application/json", tags: ["a"] };
    expect(sent({ resource })).toEqual({ paymentResource: resource });
  });

  it.each([
    ["elsewhere", { url: "https://evil.example/v2/models/m/infer" }],
    ["of another path", { url: `${request.url}/x` }],
    ["of another query", { url: `${request.url}?x=1` }],
    ["as a text, as version 1 had it", request.url],
    ["without a URL", { description: "x" }],
    ["that is none", null],
  ])("is no resource %s", (_where, resource) => {
    expect(sent({ resource })).toEqual({});
  });

  it("is no more than the URL of a resource too long for a header", () => {
    expect(sent({ resource: { url: request.url, description: "x".repeat(3000) } })).toEqual({
      paymentResource: { url: request.url },
    });
  });

  it("is every extension's info unchanged, with its schema where there is room for both", () => {
    const info = { input: { type: "http", body: { inputs: [{ name: "x", data: [[[[[1]]]]] }] } } };
    const extensions = {
      bazaar: { info, schema: { pad: "s".repeat(18_000) } },
      mppx: { info: { method: "POST" }, schema: { type: "object" } },
    };
    expect(sent({ extensions })).toEqual({ paymentExtensions: { bazaar: { info }, mppx: extensions.mppx } });
  });

  it("leaves out whole what cannot be sent back unchanged, and what wishes for an allowance", () => {
    const extensions = {
      long: { info: { pad: "x".repeat(7000) } },
      odd: { info: { text: "\ud800" } },
      deep: { info: JSON.parse(`{"a":${"[".repeat(100)}${"]".repeat(100)}}`) as unknown },
      none: {},
      text: "info",
      eip2612GasSponsoring: { info: { version: "1" } },
      erc20ApprovalGasSponsoring: { info: { version: "1" } },
      ["n".repeat(65)]: { info: {} },
      small: { info: { a: 1 } },
    };
    expect(sent({ extensions })).toEqual({ paymentExtensions: { small: { info: { a: 1 } } } });
  });

  it("adds one field of its own, the payment identifier, and only where it is declared", () => {
    const declared = { info: { required: false }, schema: { type: "object" } };
    const { paymentExtensions } = sent({ extensions: { "payment-identifier": declared } });
    expect(paymentExtensions).toEqual({
      "payment-identifier": {
        ...declared,
        info: { required: false, id: expect.stringMatching(/^p402_[0-9a-f]{64}$/) as string },
      },
    });
    expect(sent({ extensions: { "payment-identifier": { info: { required: "yes" } } } })).toEqual({});
  });

  it("fits the headers that servers take, whatever the seller declared", () => {
    fc.assert(
      fc.property(
        fc.jsonValue({ maxDepth: 6 }),
        fc.dictionary(
          fc.string(),
          fc.record({ info: fc.dictionary(fc.string(), fc.jsonValue()), schema: fc.jsonValue() }),
        ),
        (resource, extensions) => {
          const parts = sent({ resource, extensions });
          expect(JSON.stringify(parts).length).toBeLessThan(9000);
          for (const [name, value] of Object.entries(parts.paymentExtensions ?? {}))
            expect(value).toMatchObject({ info: extensions[name]?.info });
        },
      ),
    );
  });
});
