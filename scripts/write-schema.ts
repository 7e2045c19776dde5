import { writeFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { z } from "zod";
import {
  appraisalSchema,
  contradictionEvidence,
  coreSchemas,
  evidenceSchema,
  inclusionEvidence,
  KNOWN_KINDS,
  laterSchema,
  layerResultSchema,
  manifestEvidence,
  nitroEvidence,
  receiptSchemas,
  settlementEvidence,
  unknownEvidence,
} from "../src/receipts/schema.ts";
import { gatewaySignatureEvidence, teeSignatureEvidence } from "../src/receipts/signature-schema.ts";
import { tlsEvidence, transferEvidence } from "../src/receipts/transfer-schema.ts";

const NAMES: readonly (readonly [z.ZodType, string])[] = [
  [evidenceSchema, "Evidence"],
  [nitroEvidence, "NitroEvidence"],
  [manifestEvidence, "ManifestEvidence"],
  [teeSignatureEvidence, "TeeSignatureEvidence"],
  [gatewaySignatureEvidence, "GatewaySignatureEvidence"],
  [settlementEvidence, "SettlementEvidence"],
  [inclusionEvidence, "InclusionEvidence"],
  [contradictionEvidence, "ContradictionEvidence"],
  [transferEvidence, "TransferEvidence"],
  [tlsEvidence, "TlsEvidence"],
  [unknownEvidence, "OtherEvidence"],
  [laterSchema, "LaterEvidence"],
  [layerResultSchema, "LayerResult"],
  [appraisalSchema, "Appraisal"],
];

/** The formats that receipts have or had. */
export const FORMATS = [1, 2] as const;

/**
 * The text of `schema/receipt.v1.json` or `receipt.v2.json`: JSON Schema 2020-12 of a receipt's shape. What it cannot say, `parseReceipt`
 * checks: the id, the hashes of the bodies, and that the text is I-JSON without a key named twice.
 */
export function receiptJsonSchema(format: (typeof FORMATS)[number]): string {
  const names = z.registry<{ id: string }>();
  for (const [schema, id] of NAMES) names.add(schema, { id });
  names.add(coreSchemas[format], { id: "Core" });
  const schema = z.toJSONSchema(receiptSchemas[format], {
    metadata: names,
    override: ({ zodSchema, jsonSchema }) => {
      // Refinements have no place in JSON Schema, and without this one malformed evidence would pass as another kind.
      const kind = zodSchema === unknownEvidence ? jsonSchema.properties?.["kind"] : undefined;
      if (typeof kind === "object") kind.not = { enum: [...KNOWN_KINDS] };
    },
  });
  const { $schema, ...rest } = schema;
  const head = {
    $schema,
    title: `proof402 receipt, version ${format}`,
    description:
      "What was bought from whom, what was paid, and the evidence. Bodies may be left out; their hashes stay.",
  };
  return `${JSON.stringify({ ...head, ...rest }, null, 2)}\n`;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  for (const format of FORMATS) await writeFile(`schema/receipt.v${format}.json`, receiptJsonSchema(format));
}
