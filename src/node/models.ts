import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import * as z from "zod";

const descriptionSchema = z.object({
  name: z.string().regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$/),
  file: z.string().regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,127}\.onnx$/),
  sha256: z.string().regex(/^[0-9a-f]{64}$/),
  task: z.string(),
  description: z.string(),
});

/** A model as `models.json` beside its file describes it. */
export type ModelDescription = z.infer<typeof descriptionSchema>;

/**
 * The models directory of the package: the nearest one above this module, which runs from `src/` and from `dist/src/`.
 *
 * @example
 * ```ts
 * import { readdir } from "node:fs/promises";
 * import { packageModelsDirectory } from "proof402/node";
 *
 * const files = await readdir(await packageModelsDirectory());
 * ```
 */
export async function packageModelsDirectory(): Promise<string> {
  for (const up of ["../../models", "../../../models"]) {
    const directory = fileURLToPath(new URL(up, import.meta.url));
    const found = await readFile(join(directory, "models.json")).then(
      () => true,
      () => false,
    );
    if (found) return directory;
  }
  throw new Error("the package's models directory is missing");
}

/** Reads `models.json`. Throws where it is missing or malformed. */
export async function readDescriptions(directory: string): Promise<ModelDescription[]> {
  return z.array(descriptionSchema).parse(JSON.parse(await readFile(join(directory, "models.json"), "utf8")));
}
