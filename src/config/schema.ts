import * as z from "zod";
import { isLocalHost } from "../http/addresses.ts";
import { sellerSchema } from "../market/types.ts";
import { findAsset, networkId, paymentPolicySchema } from "../payment/policy.ts";
import { ASSURANCES } from "../receipts/schema.ts";
import { anyCaseAddress } from "../receipts/fields.ts";

const DIGITS = /^[0-9]{1,78}$/;
const seconds = z.int().min(1).max(86_400);

/** A chain the buyer reads settlements from. */
const networkSchema = z.strictObject({
  network: networkId,
  rpcUrl: z.url({ protocol: /^https?$/ }),
  /** Another operator's RPC of the same chain: it must agree before a payment counts as settled or as released. */
  witnessRpcUrl: z.url({ protocol: /^https?$/ }).optional(),
  /** Blocks on top of the transfer's before it counts as settled. */
  confirmations: z.int().min(0).max(1000).default(1),
  /** Milliseconds between looks at the chain. */
  pollMilliseconds: z.int().min(20).max(60_000).default(1000),
  /** Most that one of the owner's own transactions may cost in gas, in whole coins of the chain. */
  maxGasCost: z
    .string()
    .regex(/^[0-9]{1,9}(?:\.[0-9]{1,18})?$/, "whole coins as a decimal string such as 0.01")
    .default("0.01"),
});

const fieldsSchema = z.strictObject({
  /** For editors; nothing reads it. */
  $schema: z.string().optional(),
  /** The buyer's SQLite file; relative paths are relative to the configuration file. */
  database: z.string().min(1).default("proof402.db"),
  wallet: z
    .strictObject({
      /** File that holds one 0x-prefixed private key. `PROOF402_PRIVATE_KEY` takes its place when set. */
      privateKeyFile: z.string().min(1).optional(),
      /** Encrypted keystore (Web3 Secret Storage v3), in place of a key file. */
      keystoreFile: z.string().min(1).optional(),
      /** File that holds the keystore's password. `PROOF402_KEYSTORE_PASSWORD` takes its place when set. */
      keystorePasswordFile: z.string().min(1).optional(),
      /**
       * Folder where the databases used with this wallet are noted, so that a second one is noticed. Beside the key file, or
       * else the configuration, where it is not set.
       */
      databasesFolder: z.string().min(1).optional(),
    })
    .refine(({ privateKeyFile, keystoreFile }) => privateKeyFile === undefined || keystoreFile === undefined, {
      error: "privateKeyFile and keystoreFile are both set: name one",
    })
    .prefault({}),
  networks: z.array(networkSchema).min(1),
  payment: paymentPolicySchema,
  sellers: z.array(sellerSchema).max(256),
  verification: z
    .strictObject({
      /** Assurance asked for when a call names none. */
      assurance: z.enum(ASSURANCES).default("attested"),
      /** SHA-256 of the DER of roots accepted besides AWS's; always shown as simulated. */
      simulatedRoots: z
        .array(
          z
            .string()
            .toLowerCase()
            .regex(/^[0-9a-f]{64}$/),
        )
        .max(16)
        .default([]),
      /**
       * Whether what another buyer's file tells of the chain suffices for the verdict `verified`. Own purchases do not need it: this
       * buyer read the chain itself.
       */
      reportedSuffices: z.boolean().default(false),
      /** Whether proofs count whose key comes from a development setup; always shown as such. */
      developmentSetups: z.boolean().default(false),
      /** How long a proof is waited for, where a seller's key for the model is pinned. */
      proofSeconds: seconds.default(3600),
      maxAttestationAgeSeconds: seconds.default(3600),
      clockSkewSeconds: z.int().min(0).max(3600).default(60),
      /** How far a re-executed number may lie from the answer's: at most absolute + relative * its magnitude. */
      replayTolerance: z
        .strictObject({ absolute: z.number().min(0).max(1), relative: z.number().min(0).max(1) })
        .default({ absolute: 1e-5, relative: 1e-4 }),
      /** Re-execution of answers by the buyer itself. */
      replay: z
        .strictObject({
          /** Model name -> ONNX file; relative paths are relative to the configuration file. */
          models: z
            .record(z.string().max(128), z.string().min(1))
            .refine(
              (models) => Object.keys(models).length > 0,
              "it names no model, so no answer would be computed again",
            ),
          /** One answer in so many, which the seller cannot foresee; 1 is each. */
          every: z.int().min(1).max(1_000_000).default(1),
          /** Also re-run every answer that cost more than this, in USD. Payments in other assets always qualify. */
          aboveUsd: z.number().min(0).max(1e12).optional(),
          /** How long a run of a model may take, start of its process included; it is killed then and not tried again. */
          seconds: z.int().min(1).max(20).default(20),
        })
        .optional(),
      /** How long an answer is looked for under an anchored root, where a relay contract is pinned for its seller. */
      inclusionSeconds: seconds.default(3600),
    })
    .prefault({}),
  /** The ERC-8004 Validation Registry that the owner's `receipts publish` posts verdicts to. */
  validationRegistry: z
    .strictObject({
      network: networkId,
      contract: anyCaseAddress,
    })
    .optional(),
  /** Where the owner's `log publish` puts roots of the log, and where an audit looks for them. */
  logRoots: z
    .strictObject({
      network: networkId,
      /** The wallet that publishes. */
      publisher: anyCaseAddress,
      /** Tells the publisher's logs apart: one for each database. */
      name: z
        .string()
        .regex(/^[\x21-\x7e]{1,31}$/, "must be 1 to 31 ASCII characters without spaces")
        .default("log"),
    })
    .optional(),
  /** Contracts that check proofs by one key on chain: for the owner's `receipts publish --proof`. */
  proofContracts: z
    .array(
      z.strictObject({
        network: networkId,
        contract: anyCaseAddress,
        /** SHA-256 of the canonical form of the key, hex, as pinned in `proofs`. */
        keySha256: z
          .string()
          .toLowerCase()
          .regex(/^[0-9a-f]{64}$/),
      }),
    )
    .max(256)
    .default([]),
  market: z
    .strictObject({
      /** How long sellers' listings are used without asking again. */
      listingSeconds: seconds.default(60),
      /** How long a known offer is paid without asking for a fresh one; 0 asks every time. A changed offer is noticed either way. */
      quoteSeconds: z.int().min(0).max(86_400).default(300),
    })
    .prefault({}),
  http: z
    .strictObject({
      /** Only for a market on this machine or network: loopback, private and link-local addresses are refused otherwise. */
      allowPrivateAddresses: z.boolean().default(false),
      /** Hosts of sellers and RPCs that may be talked to without TLS, by name. Addresses of a private network always may. */
      allowPlainHttp: z.array(z.string().toLowerCase().min(1).max(253)).max(64).default([]),
      connectSeconds: seconds.default(10),
      /**
       * Longest silence while waiting for a response, which comes after the work and its settlement, or in the middle of
       * one. Less than 1 KiB of a body in this time is silence.
       */
      idleSeconds: seconds.default(60),
      /** Longest time from sending a paid request to its last byte. */
      totalSeconds: seconds.default(120),
      maxResponseBytes: z.int().min(1024).max(64_000_000).default(4_000_000),
    })
    .prefault({}),
});

/** Whether two URLs lead to one server, however they are spelt. */
const isOneServer = (one: string, other: string): boolean =>
  URL.canParse(one) && URL.canParse(other) && new URL(one).origin === new URL(other).origin;

/**
 * `proof402.config.json`: every name means one thing, every asset's network can be looked at, and no bound counts for nothing.
 * A bound looser than another one is let be: the tighter one holds what it says.
 */
export const configSchema = fieldsSchema.superRefine((config, context) => {
  const complain = (path: PropertyKey[], message: string): void => context.addIssue({ code: "custom", path, message });
  const once = (field: PropertyKey[], names: string[]): void => {
    for (const [at, name] of names.entries()) {
      if (names.indexOf(name) !== at) complain([...field, at], `${name} is listed twice`);
    }
  };
  const needNetwork = (path: PropertyKey[], network: string): void => {
    if (!config.networks.some((one) => one.network === network))
      complain([...path, "network"], `networks has no entry for ${network}`);
  };
  once(
    ["networks"],
    config.networks.map(({ network }) => network),
  );
  once(
    ["payment", "assets"],
    config.payment.assets.map(({ network, asset }) => `${asset} on ${network}`),
  );
  // Amounts name a token by its symbol.
  once(
    ["payment", "assets"],
    config.payment.assets.map(({ network, symbol }) => `${symbol} on ${network}`),
  );
  once(
    ["sellers"],
    config.sellers.map(({ id }) => id),
  );
  for (const [at, { origin, registry, certificateSha256 }] of config.sellers.entries()) {
    if ((origin === undefined) === (registry === undefined))
      complain(["sellers", at, "origin"], "name the seller's origin, or the registry that names its places");
    if (registry !== undefined) needNetwork(["sellers", at, "registry"], registry.network);
    if (certificateSha256 !== undefined && origin?.startsWith("https:") !== true)
      complain(["sellers", at, "certificateSha256"], "only an https origin shows a certificate");
    if (origin !== undefined && config.sellers.findIndex((other) => other.origin === origin) !== at)
      complain(
        ["sellers", at, "origin"],
        `${origin} is listed twice: caps and holds of the one entry would not count for the other`,
      );
  }
  for (const [at, { rpcUrl, witnessRpcUrl }] of config.networks.entries()) {
    if (witnessRpcUrl !== undefined && isOneServer(witnessRpcUrl, rpcUrl))
      complain(["networks", at, "witnessRpcUrl"], "it is the server of rpcUrl, which adds no witness");
  }
  const { allowPlainHttp } = config.http;
  const refusePlain = (path: PropertyKey[], url: string): void => {
    // What is no URL has been complained of already.
    if (!URL.canParse(url)) return;
    const { protocol, hostname } = new URL(url);
    if (protocol === "http:" && !isLocalHost(hostname) && !allowPlainHttp.includes(hostname))
      complain(
        path,
        `without TLS anyone on the way can read and change it: use https, or list "${hostname}" in http.allowPlainHttp`,
      );
  };
  for (const [at, { rpcUrl, witnessRpcUrl = rpcUrl }] of config.networks.entries()) {
    refusePlain(["networks", at, "rpcUrl"], rpcUrl);
    refusePlain(["networks", at, "witnessRpcUrl"], witnessRpcUrl);
  }
  for (const [at, { origin, aggregator }] of config.sellers.entries()) {
    if (origin !== undefined) refusePlain(["sellers", at, "origin"], origin);
    if (aggregator !== undefined) refusePlain(["sellers", at, "aggregator"], aggregator);
  }
  for (const [at, { perCall, perHour, perDay }] of config.payment.assets.entries()) {
    const under = (field: string, cap: string, shorter: string, least: string): void => {
      if (DIGITS.test(cap) && DIGITS.test(least) && BigInt(cap) < BigInt(least))
        complain(["payment", "assets", at, field], `is less than ${shorter}, which could never be spent`);
    };
    under("perHour", perHour, "perCall", perCall);
    under("perDay", perDay, "perHour", perHour);
  }
  for (const [at, { network }] of config.payment.assets.entries()) needNetwork(["payment", "assets", at], network);
  // What was paid in them is looked up on their chain.
  for (const [at, { network }] of (config.payment.formerAssets ?? []).entries())
    needNetwork(["payment", "formerAssets", at], network);
  if (config.validationRegistry !== undefined) needNetwork(["validationRegistry"], config.validationRegistry.network);
  if (config.logRoots !== undefined) needNetwork(["logRoots"], config.logRoots.network);
  for (const [at, { network }] of config.proofContracts.entries()) needNetwork(["proofContracts", at], network);
  for (const [at, { reference, limits }] of config.sellers.entries()) {
    for (const [place, { network }] of reference.relays.entries())
      needNetwork(["sellers", at, "reference", "relays", place], network);
    once(
      ["sellers", at, "limits"],
      limits.map(({ network, asset }) => `${asset} on ${network}`),
    );
    for (const [place, limit] of limits.entries()) {
      const path = ["sellers", at, "limits", place];
      if (findAsset(limit, config.payment.assets) === undefined)
        complain(path, `payment.assets has no ${limit.asset} on ${limit.network}, so it would bound nothing`);
      if ((limit.perHour ?? limit.perDay ?? limit.total) === undefined)
        complain(path, "it bounds nothing: name perHour, perDay or total");
    }
  }
  for (const name of Object.keys(config.verification.replay?.models ?? {})) {
    if (!config.sellers.some(({ reference }) => Object.hasOwn(reference.models, name)))
      complain(
        ["verification", "replay", "models", name],
        "no seller's reference.models pins a model of this name, so no answer would be computed again",
      );
  }
});

/** As written in the file. */
export type ConfigInput = z.input<typeof configSchema>;
/** With defaults filled in. */
export type Config = z.output<typeof configSchema>;

/** The configured seller of an id. */
export const findSeller = ({ sellers }: Pick<Config, "sellers">, id: string): Config["sellers"][number] | undefined =>
  sellers.find((seller) => seller.id === id);
