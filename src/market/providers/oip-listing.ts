import * as z from "zod";
import { DATATYPES, type TensorMetadata } from "../../evidence/exchange/tensors.ts";
import { cleanSellerText } from "../seller-text.ts";
import type { ListedModel, Listing, Seller } from "../types.ts";
import { MAX_MODELS, nameSchema, priceSchema, wordsSchema } from "./listed.ts";

const MAX_TENSORS = 4096;

/** A free dimension is -1; servers also name it, or leave it null. Sizes come as numbers or, over gRPC gateways, as text. */
const dimensionSchema = z.unknown().transform((size): number => {
  const number = typeof size === "string" && /^[0-9]+$/.test(size) ? Number(size) : size;
  return typeof number === "number" && Number.isSafeInteger(number) && number >= 0 ? number : -1;
});

const tensorSchema = z.object({
  // An agent has to read the name and to write it.
  name: z
    .string()
    .min(1)
    .max(1024)
    .refine((name) => cleanSellerText(name, 128) === name),
  datatype: z.enum(DATATYPES),
  shape: z.array(dimensionSchema).max(16),
  optional: z.boolean().optional().catch(undefined),
});

const tensorsSchema = z
  .array(tensorSchema)
  .max(MAX_TENSORS)
  .refine((tensors) => new Set(tensors.map(({ name }) => name)).size === tensors.length);

const relaysSchema = z
  .array(z.object({ network: z.string().regex(/^eip155:[1-9][0-9]{0,14}$/), contract: priceSchema.shape.asset }))
  .max(16)
  .catch([]);

/**
 * The models of a catalogue, each entry read for itself. One that cannot be bought, because its request could not be
 * made or its answer not be read, is listed apart with the reason. Null where the text is no catalogue at all.
 */
export function readCatalog(seller: Seller, value: unknown, maxAnswerBytes: number): Listing | null {
  const parsed = z.object({ models: z.array(z.unknown()), relays: relaysSchema }).safeParse(value);
  if (!parsed.success) return null;
  const listing: Listing = { models: [], unsupported: [], relays: parsed.data.relays };
  const seen = new Set<string>();
  for (const entry of parsed.data.models.slice(0, MAX_MODELS)) {
    const name = nameSchema.safeParse((entry as { name?: unknown } | null)?.name);
    // A name that cannot be shown cannot be asked for either; of two entries of one name the first counts.
    if (!name.success || seen.has(name.data)) continue;
    seen.add(name.data);
    const read = readModel(seller, name.data, entry, maxAnswerBytes);
    if ("reason" in read) listing.unsupported.push(read);
    else listing.models.push(read);
  }
  return listing;
}

/** The same for one model's own metadata (`GET /v2/models/{name}`), which states no price. */
export function readMetadata(seller: Seller, name: string, value: unknown, maxAnswerBytes: number): Listing | null {
  if (typeof value !== "object" || value === null || (value as { name?: unknown }).name !== name) return null;
  const read = readModel(seller, name, value, maxAnswerBytes);
  return "reason" in read ? { models: [], unsupported: [read] } : { models: [read], unsupported: [] };
}

function readModel(
  { id: sellerId }: Seller,
  name: string,
  entry: unknown,
  maxAnswerBytes: number,
): ListedModel | Listing["unsupported"][number] {
  const { inputs, outputs } = entry as { inputs?: unknown; outputs?: unknown };
  const [takes, gives] = [tensorsSchema.safeParse(inputs), tensorsSchema.safeParse(outputs)];
  if (!takes.success) return { sellerId, name, reason: `its inputs are ${whyNot(inputs)}` };
  if (!gives.success) return { sellerId, name, reason: `its outputs are ${whyNot(outputs)}` };
  if (gives.data.length === 0) return { sellerId, name, reason: "it lists no outputs" };
  if (leastBytes(gives.data) > maxAnswerBytes)
    return { sellerId, name, reason: `its answers are larger than http.maxResponseBytes (${maxAnswerBytes})` };
  const words = wordsSchema.parse(entry);
  return { sellerId, name, ...words, inputs: takes.data, outputs: gives.data };
}

function whyNot(tensors: unknown): string {
  const types = Array.isArray(tensors) ? tensors.map((one) => (one as { datatype?: unknown } | null)?.datatype) : [];
  const unknown = types.find((type) => !(DATATYPES as readonly unknown[]).includes(type));
  return typeof unknown === "string" && /^[A-Z0-9_]{1,16}$/.test(unknown)
    ? `of a datatype that is not read (${unknown})`
    : "no list of Open Inference Protocol tensors";
}

/** Fewest bytes that the JSON of these tensors takes, free dimensions counted as one. */
const leastBytes = (tensors: readonly TensorMetadata[]): number =>
  tensors.reduce((total, { shape }) => total + 2 * shape.reduce((count, size) => count * Math.abs(size), 1), 0);
