import { tools, VERSION } from "proof402/tools";
import { listedInput, listedOutput } from "./schemas.ts";

/** A tool as clients see it in a list. */
export type Listed = {
  name: string;
  title: string;
  description: string;
  annotations: { readOnlyHint: boolean; destructiveHint: boolean; idempotentHint: boolean; openWorldHint: boolean };
  input: Record<string, unknown>;
  output: Record<string, unknown>;
};

/** The version and the list of tools, for `listed.artifact.ts`: a server that only lists loads no tool. */
export const makeListing = (): { version: string; tools: Listed[] } => ({
  version: VERSION,
  tools: tools.map((tool) => {
    const { name, title, description, annotations } = tool;
    const target = { target: "draft-2020-12" } as const;
    const input = listedInput(tool)["~standard"].jsonSchema.input(target);
    const output = listedOutput(tool)["~standard"].jsonSchema.output(target);
    return { name, title, description, annotations, input, output };
  }),
});
