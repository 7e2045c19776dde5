import * as z from "zod";
import { cleanSellerText } from "../seller-text.ts";
import type { ListedModel, Seller } from "../types.ts";

/** Entries of one list that are read; those after them are left out. */
export const MAX_MODELS = 10_000;

/** Letters, digits and the separators of public registries' model names: nothing that reads as a sentence. */
const MODEL_NAME = /^[A-Za-z0-9][A-Za-z0-9._:/@+-]{0,127}$/;

/** A model's name, as it is asked for and shown. */
export const nameSchema = z.string().regex(MODEL_NAME);

/** A listed price, base units. */
export const priceSchema = z.object({
  network: z.string().max(64),
  asset: z
    .string()
    .regex(/^0x[0-9a-fA-F]{40}$/)
    .toLowerCase(),
  amount: z.union([z.string().regex(/^(?:0|[1-9][0-9]{0,77})$/), z.int().min(0).transform(String)]),
});

const textOf = (maxLength: number) =>
  z
    .string()
    .catch("")
    .transform((text) => cleanSellerText(text.slice(0, 100_000), maxLength));

/** Describes a model besides its tensors, without misfits: nothing rests on it. */
export const wordsSchema = z.object({
  task: textOf(80),
  description: textOf(600),
  sha256: z
    .string()
    .regex(/^(?:0x)?[0-9a-fA-F]{64}$/)
    .transform((digest) => digest.toLowerCase().replace(/^0x/, ""))
    .nullable()
    .catch(null),
  proof: z
    .string()
    .regex(/^[0-9a-f]{64}$/)
    .nullable()
    .catch(null),
  price: priceSchema.nullable().catch(null),
});

/** Whether a model can be asked for by this name. */
export const isModelName = (name: string): boolean => MODEL_NAME.test(name);

/** A model of which the name alone is known: its seller states no price before it is asked. */
export const modelByName = ({ id: sellerId }: Pick<Seller, "id">, name: string, task: string): ListedModel => ({
  sellerId,
  name,
  task,
  description: "",
  inputs: [],
  outputs: [],
  sha256: null,
  price: null,
});

const listSchema = z.object({ data: z.array(z.unknown()) });

/** The entries of a list of models as OpenAI's API has it (`GET /v1/models`), or null for another form. */
export const readModelList = (value: unknown): unknown[] | null => listSchema.safeParse(value).data?.data ?? null;
