import type { LanguageModelMiddleware } from "ai";
import { GUARDED_TOOLS } from "../tools/steering.ts";

/**
 * A middleware for `wrapLanguageModel`: tells the model how guarded tools are called, in each call that offers `buy_inference`
 * beside one with a `receipt_id`. It guards nothing and counts nothing: `guardTool` and the tools' own `maxUsd` do.
 *
 * @example
 * ```ts
 * import { wrapLanguageModel, type LanguageModel } from "ai";
 * import { proof402Middleware } from "proof402/ai";
 *
 * type Model = Parameters<typeof wrapLanguageModel>[0]["model"];
 * const steered = (model: Model): LanguageModel => wrapLanguageModel({ model, middleware: proof402Middleware() });
 * ```
 */
export const proof402Middleware = (): LanguageModelMiddleware => ({
  specificationVersion: "v3",
  transformParams: ({ params }) => {
    const { tools = [], prompt } = params;
    const offers = tools.some(({ name }) => name === "buy_inference");
    if (!offers || !tools.some(takesReceipt)) return Promise.resolve(params);
    const [first, ...others] = prompt;
    const steered =
      first?.role === "system"
        ? [{ ...first, content: `${first.content}\n\n${GUARDED_TOOLS}` }, ...others]
        : [{ role: "system" as const, content: GUARDED_TOOLS }, ...prompt];
    return Promise.resolve({ ...params, prompt: steered });
  },
});

type OfferedTool = NonNullable<
  Parameters<NonNullable<LanguageModelMiddleware["transformParams"]>>[0]["params"]["tools"]
>[number];

const takesReceipt = (tool: OfferedTool): boolean =>
  tool.type === "function" && Object.hasOwn(tool.inputSchema.properties ?? {}, "receipt_id");
