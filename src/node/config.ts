import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import { basename, dirname, resolve } from "node:path";
import * as z from "zod";
import { parseUnits } from "../chain/amounts.ts";
import { Proof402Error } from "../errors.ts";
import { parseJsonText } from "../evidence/json-text.ts";
import { OTHERS, readTextFile } from "../files/read-file.ts";
import { anyCaseAddress } from "../receipts/fields.ts";
import { isLocalHost } from "../http/addresses.ts";
import { openModel, type RunningModel } from "../onnx/inference.ts";
import { packModel, type PackedModel } from "../onnx/pack-model.ts";
import type { ModelDescription } from "./models.ts";
import { rateSchema } from "./rate-limit.ts";

const dollars = z.string().refine((text) => parseUnits(text, 18) !== null, 'whole tokens as text, such as "0.01"');
const modelName = z.string().regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$/, "letters, digits, . _ -");

const isLoopback = (host: string): boolean => ["127.0.0.1", "::1", "localhost"].includes(host);
const variable = z.string().regex(/^[A-Za-z_][A-Za-z0-9_]{0,127}$/, "the name of an environment variable");
const loopbackUrl = z
  .url({ protocol: /^https?$/ })
  .refine((text) => URL.canParse(text) && isLoopback(new URL(text).hostname), "an address of this machine")
  .refine((text) => URL.canParse(text) && new URL(text).origin === text, "no path, no trailing slash");

const fields = z.strictObject({
  /** Where the node listens. Off this machine it needs TLS files, or a proxy in front that ends TLS. */
  listen: z
    .strictObject({
      host: z.string().min(1).max(255).default("127.0.0.1"),
      port: z.int().min(0).max(65_535).default(8402),
      tls: z.strictObject({ certificateFile: z.string().min(1), keyFile: z.string().min(1) }).optional(),
      behindProxy: z.boolean().default(false),
    })
    .refine(({ host, tls, behindProxy }) => isLoopback(host) || tls !== undefined || behindProxy, {
      path: ["tls"],
      error: "name TLS files, or set behindProxy: payments may not cross a network in the clear",
    })
    .prefault({}),
  /** Scheme, host and port that buyers ask. */
  origin: z
    .url({ protocol: /^https?$/ })
    .refine((text) => URL.canParse(text) && new URL(text).origin === text, "an origin: no path, no trailing slash")
    .optional(),
  payment: z.strictObject({
    /** CAIP-2. */
    network: z.templateLiteral(["eip155:", z.int().min(1)]),
    asset: anyCaseAddress,
    decimals: z.int().min(0).max(18),
    /** The token's EIP-712 domain. */
    domain: z.strictObject({ name: z.string().max(64), version: z.string().max(16) }),
    payTo: anyCaseAddress,
    facilitatorUrl: z.url({ protocol: /^https?$/ }),
    /** File with the bearer token that the facilitator asks for. */
    facilitatorTokenFile: z.string().min(1).optional(),
    /** API key of Coinbase's Developer Platform, in its file or in two environment variables: a token is made for each request. */
    facilitatorKey: z
      .strictObject({
        file: z.string().min(1).optional(),
        variables: z
          .strictObject({ id: variable.default("CDP_API_KEY_ID"), secret: variable.default("CDP_API_KEY_SECRET") })
          .optional(),
      })
      .refine(({ file, variables }) => (file === undefined) !== (variables === undefined), "name a file or variables")
      .optional(),
    rpcUrl: z.url({ protocol: /^https?$/ }).optional(),
    confirmations: z.int().min(0).max(100).optional(),
    waitSeconds: z.int().min(1).max(300).optional(),
    /** Whether payments to `payTo` are for this node alone, or for other services, too (`NodePayment`). */
    ownPayee: z.boolean().optional(),
    sharedPayee: z.boolean().optional(),
  }),
  /** RSA key that signs the answers, PKCS #8 in PEM, readable by its owner only. Outside an enclave. */
  signingKeyFile: z.string().min(1).optional(),
  /** The AWS Nitro enclave that the node runs in, in place of a signing key: it makes its own (`NitroOptions`). */
  enclave: z
    .strictObject({
      kind: z.literal("nitro"),
      nitriding: z
        .strictObject({
          internalUrl: loopbackUrl.default("http://127.0.0.1:8080"),
          externalUrl: loopbackUrl.default("https://127.0.0.1:443"),
        })
        .optional(),
      /** Program that asks the Nitro Security Module, with its first arguments. */
      helper: z.array(z.string().min(1).max(1000)).min(1).max(16).optional(),
    })
    .refine(
      ({ nitriding, helper }) => nitriding !== undefined || helper !== undefined,
      "name nitriding, a helper or both",
    )
    .optional(),
  /** Sells the models as tools of an MCP server at `/mcp`, too. */
  mcp: z.boolean().default(false),
  /** SQLite file of the payments taken and their answers. */
  database: z.string().min(1),
  /** How long a paid answer can be had again, seconds. */
  keepSeconds: z.int().min(60).max(31_536_000).optional(),
  http: z
    .strictObject({
      /** Hosts of the facilitator and the RPC that are asked without TLS, by name. Private addresses need no entry. */
      allowPlainHttp: z.array(z.string().toLowerCase().min(1).max(253)).max(64).default([]),
    })
    .prefault({}),
  limits: z
    .strictObject({
      /** Requests worked on at once; one more is told to come again. */
      atOnce: z.int().min(1).max(10_000).default(64),
      /** Calls of one payer, and requests of one client address. Needs rate-limiter-flexible. */
      perPayer: rateSchema.optional(),
      perAddress: rateSchema.optional(),
    })
    .prefault({}),
  /** Counts for Prometheus, at `/metrics` of a port of 127.0.0.1; none without it. Needs prom-client. */
  metrics: z.strictObject({ port: z.int().min(0).max(65_535) }).optional(),
  /** Relay contract for the roots of batches of answers. The key's account pays the gas. */
  anchoring: z
    .strictObject({
      /** CAIP-2. */
      network: z.templateLiteral(["eip155:", z.int().min(1)]),
      contract: anyCaseAddress,
      rpcUrl: z.url({ protocol: /^https?$/ }),
      /** File with the account's private key, readable by its owner only. */
      keyFile: z.string().min(1),
      /** Answers in a full batch, and the longest wait for others. */
      maxAnswers: z.int().min(1).max(1024).optional(),
      maxWaitSeconds: z.int().min(1).max(86_400).optional(),
    })
    .optional(),
  models: z
    .array(
      z.strictObject({
        name: modelName,
        /** The ONNX file, and the SHA-256 that buyers pin. */
        file: z.string().min(1),
        sha256: z.string().regex(/^[0-9a-f]{64}$/, "64 lower-case hex digits"),
        /** Whole tokens for a call, as text: "0.01". */
        price: dollars,
        /** Rows that one price pays for. */
        rows: z.int().min(1).max(100_000).optional(),
        task: z.string().max(200).default("inference"),
        description: z.string().max(1000).default(""),
        /** Folder written by `proof402 node zk compile`: answers are proved then. Needs snarkjs. */
        provingFolder: z.string().min(1).optional(),
      }),
    )
    .min(1)
    .max(256),
});

/** A seller's configuration file. Paths are relative to it. */
export const nodeConfigSchema = fields.superRefine(({ payment, anchoring, http, signingKeyFile, enclave }, context) => {
  if ((signingKeyFile === undefined) === (enclave === undefined))
    context.addIssue({ code: "custom", path: ["signingKeyFile"], message: "name a signing key or an enclave" });
  if (payment.facilitatorTokenFile !== undefined && payment.facilitatorKey !== undefined)
    context.addIssue({ code: "custom", path: ["payment", "facilitatorKey"], message: "name a token or a key" });
  for (const [url, path] of [
    [payment.facilitatorUrl, ["payment", "facilitatorUrl"]],
    [payment.rpcUrl, ["payment", "rpcUrl"]],
    [anchoring?.rpcUrl, ["anchoring", "rpcUrl"]],
  ] as const) {
    if (url === undefined || !URL.canParse(url)) continue;
    const { protocol, hostname } = new URL(url);
    if (protocol === "https:" || isLocalHost(hostname) || http.allowPlainHttp.includes(hostname)) continue;
    context.addIssue({
      code: "custom",
      path: [...path],
      message: `payments may not cross a network in the clear: use https, or list "${hostname}" in http.allowPlainHttp`,
    });
  }
});
export type NodeConfig = z.infer<typeof nodeConfigSchema>;
export type NodeConfigInput = z.input<typeof nodeConfigSchema>;

const MAX_BYTES = 1_000_000;

/**
 * Loads a seller's configuration, its paths made absolute. Throws Proof402Error `config_not_found`, `config_permissions`, or
 * `config_invalid`, which names file and fields.
 */
export async function loadNodeConfig(path: string): Promise<NodeConfig> {
  const file = resolve(path);
  const read = await readTextFile(file, { maxBytes: MAX_BYTES, denied: OTHERS.write });
  if (!("text" in read)) {
    if (read.problem === "permissions")
      throw new Proof402Error(
        "config_permissions",
        `Others than its owner may change ${file}, which says who is paid.`,
        {
          next: `Run chmod go-w ${file} or move it.`,
        },
      );
    throw new Proof402Error("config_not_found", `${file} cannot be read as a configuration (${read.problem}).`, {
      next: "Write one with `proof402 node init MODEL.onnx --price 0.01 --pay-to 0x...`.",
    });
  }
  const json = parseJsonText(read.text);
  const parsed = nodeConfigSchema.safeParse(json.ok ? json.value : undefined);
  if (!parsed.success) throw invalid(file, json.ok ? z.prettifyError(parsed.error) : "the file is not JSON");
  const base = dirname(file);
  const { models, payment, listen, ...rest } = parsed.data;
  const dear = models.findIndex(({ price }) => parseUnits(price, payment.decimals) === null);
  if (dear >= 0)
    throw invalid(file, `more decimal places than the token has (${payment.decimals})\n  → at models[${dear}].price`);
  const at = <T extends string | undefined>(name: T): T => (name === undefined ? name : resolve(base, name)) as T;
  return {
    ...rest,
    signingKeyFile: at(rest.signingKeyFile),
    database: at(rest.database),
    listen: {
      ...listen,
      tls: listen.tls && { certificateFile: at(listen.tls.certificateFile), keyFile: at(listen.tls.keyFile) },
    },
    anchoring: rest.anchoring && { ...rest.anchoring, keyFile: at(rest.anchoring.keyFile) },
    payment: {
      ...payment,
      facilitatorTokenFile: at(payment.facilitatorTokenFile),
      facilitatorKey: payment.facilitatorKey && { ...payment.facilitatorKey, file: at(payment.facilitatorKey.file) },
    },
    models: models.map((model) => ({ ...model, file: at(model.file), provingFolder: at(model.provingFolder) })),
  };
}

const invalid = (file: string, why: string): Proof402Error =>
  new Proof402Error("config_invalid", `${file} is not a valid node configuration:\n${why}`, {
    next: "Correct the named fields.",
  });

/** A secret's text, from a file that only its owner may read. Throws Proof402Error `config_permissions` or `file_unreadable`. */
export async function readSecret(path: string, field: string): Promise<string> {
  const read = await readTextFile(path, { maxBytes: 64_000, denied: OTHERS.anything });
  if ("text" in read) return read.text;
  if (read.problem === "permissions")
    throw new Proof402Error("config_permissions", `Others than its owner may read ${path} (${field}).`, {
      next: `Run chmod 600 ${path}.`,
    });
  throw new Proof402Error("file_unreadable", `${path} (${field}) could not be read (${read.problem}).`, {
    next: `Correct ${field} in the configuration.`,
  });
}

/** The models as `models.json` would describe them. */
export const descriptionsIn = ({ models }: NodeConfig): ModelDescription[] =>
  models.map(({ name, file, sha256, task, description }) => ({ name, file, sha256, task, description }));

/**
 * A model's entry in a new configuration, and the bytes to sell: the file's, with the data of its other files
 * inside. Throws Proof402Error `file_unreadable` or the codes of `packModel`.
 */
export async function modelEntry(
  file: string,
  price: string,
): Promise<PackedModel & { entry: NodeConfigInput["models"][number] }> {
  const read = await readFile(file).catch((cause: unknown) => {
    throw new Proof402Error("file_unreadable", `${file} could not be read.`, {
      next: "Name a file that exists.",
      cause,
    });
  });
  const name = basename(file).replace(/\.onnx$/, "");
  if (!modelName.safeParse(name).success)
    throw new Proof402Error("invalid_input", `${file} gives no name for a model: letters, digits, . _ -.`, {
      next: "Rename the file.",
    });
  const packed = await packModel(read, dirname(file));
  const sha256 = createHash("sha256").update(packed.bytes).digest("hex");
  return { ...packed, entry: { name, file, sha256, price } };
}

/** Opens a model as the node will. Throws what it would throw at its start. */
export async function describeModel(
  bytes: Uint8Array,
  name: string,
): Promise<Pick<RunningModel, "inputs" | "outputs">> {
  const model = await openModel(bytes, { name });
  await model.close();
  return { inputs: model.inputs, outputs: model.outputs };
}
