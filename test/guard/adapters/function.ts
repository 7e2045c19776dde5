import { isInteropZodSchema, interopParseAsync } from "@langchain/core/utils/types";
import { guard } from "../../../src/guard/function.ts";
import type { GuardAdapter } from "./adapter.ts";

/** A plain function, whose caller names the receipt beside the arguments. */
export const plainFunction: GuardAdapter = {
  name: "plain functions",
  inProcess: true,
  make({ name, schema, run }, options) {
    const read = (args: unknown): Promise<Record<string, unknown>> =>
      isInteropZodSchema(schema) ? interopParseAsync(schema, args) : Promise.resolve(args as Record<string, unknown>);
    const guarded = guard<Record<string, unknown>, unknown>({ name, run, read }, options);
    const call = (args: Record<string, unknown>): Promise<unknown> => {
      const { receipt_id: _id, ...own } = args;
      return guarded(own, {
        receiptId: (Object.hasOwn(args, "receipt_id") ? args["receipt_id"] : undefined) as string,
      });
    };
    return {
      code: call,
      parallel: (args) => Promise.allSettled([call(args), call(args), call(args)]),
      retry: (args) => call(args).catch(() => call(args)),
      again: async (args) => {
        await call(args).catch(() => undefined);
        await call(args);
      },
    };
  },
};
