import { replaceText } from "../files/replace.ts";
import type { z } from "zod";
import type { sellerSchema } from "../market/types.ts";
import { validConfig, type ConfigFile } from "./load.ts";

/** A seller as it is written in a configuration. */
export type SellerEntry = z.input<typeof sellerSchema>;

/** The file's value with one more seller. */
export const withSeller = ({ value }: ConfigFile, seller: SellerEntry): unknown => {
  const { sellers = [], ...rest } = value as { sellers?: unknown[] };
  return { ...rest, sellers: [...sellers, seller] };
};

/**
 * Writes a configuration with one more seller, in the file's own indentation. The file is valid before and after. Throws
 * Proof402Error `config_invalid`, and what {@link replaceText} throws.
 */
export async function addSeller(file: ConfigFile, seller: SellerEntry): Promise<void> {
  const value = withSeller(file, seller);
  validConfig(file.value, file.path);
  validConfig(value, file.path);
  await replaceText(file.path, { before: file.text, after: writtenAs(file.text, value) });
}

/** JSON in the manner of an earlier text: its indentation, line ends and last line. */
function writtenAs(text: string, value: unknown): string {
  const indent = /\n([ \t]+)\S/.exec(text)?.[1] ?? "  ";
  const lines = JSON.stringify(value, null, indent);
  const whole = text.endsWith("\n") ? `${lines}\n` : lines;
  return text.includes("\r\n") ? whole.replaceAll("\n", "\r\n") : whole;
}
