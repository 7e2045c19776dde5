import { validConfig, type ConfigFile } from "../config/load.ts";
import { withSeller, type SellerEntry } from "../config/change.ts";
import { toHex } from "../evidence/bytes.ts";
import type { ExchangeFormat } from "../evidence/exchange/format.ts";
import { FORMATS } from "../evidence/exchange/formats.ts";
import { Proof402Error } from "../errors.ts";
import { BOUGHT_FROM, type ListedModel, type Listing, type Provider, type Seller } from "../market/types.ts";
import type { AssetPolicy } from "../payment/policy.ts";
import { manifestEvidence, nitroEvidence, type Assurance, type Evidence } from "../receipts/schema.ts";
import { createVerificationCache } from "../verify/verification-cache.ts";
import { judge, NONCE_BYTES, requireSameTime, type Attested, type Judging } from "./attest.ts";
import { askPrices, type AskedPrice } from "./ask-prices.ts";
import { requireNew, type Wanted } from "./wanted-seller.ts";
import { kindOf } from "./kind-of-seller.ts";
import { openMarket, type OpenMarket } from "./listing.ts";
import { statedPins } from "./stated-pins.ts";

/** Longest wait for one answer of a new seller, while a person waits. */
const ANSWER_SECONDS = 8;
/** Most models of a new seller that are asked for their prices and pinned. */
const MAX_MODELS = 16;
const MEASURED = [0, 1, 2] as const;

/** A new seller, as it shows itself for the first time, and the entry to pin it by. */
export type NewSeller = {
  entry: SellerEntry;
  /** `simulated`: the measurements are vouched for by a root that the configuration names, and by no hardware vendor. */
  simulated: boolean;
  models: NewModel[];
  /** Models that are not pinned, each with the reason. */
  left: { name: string; reason: string }[];
};

/** A model to pin. `source` says who vouches for its digest: the measured manifest, or the seller's listing alone. */
export type NewModel = {
  name: string;
  sha256: string | null;
  source: "measured" | "claimed";
  price: { amount: string; asset: AssetPolicy };
  /** An input that it takes, for models without tensors; null for others. */
  example: Record<string, unknown> | null;
};

/**
 * Asks a new seller for its listing, its attestation and its offers, and makes an entry that pins them. Pays nothing, and
 * sends the least inputs that its models take. The bounds of the configuration's `http` hold, and no answer is waited for longer than 8 seconds.
 *
 * Throws Proof402Error `seller_exists`, `config_invalid` where the entry would not fit the configuration, `attestation_failed` where the
 * evidence does not hold or is less than `assurance`, `asset_not_allowed`, `method_not_allowed` or `payee_not_allowed`
 * where no offer could be paid, `malformed_seller_data`, and what the HTTP client throws.
 */
export async function lookAtSeller(file: ConfigFile, wanted: Wanted): Promise<NewSeller> {
  const known = validConfig(file.value, file.path);
  requireNew(known, wanted, file.path);
  const { kind = BOUGHT_FROM[0] } = wanted;
  const { id, origin, path, certificateSha256: certificate } = wanted;
  const pinned = {
    ...(path === undefined ? {} : { path }),
    ...(certificate === undefined ? {} : { certificateSha256: certificate }),
  };
  const named = { id, provider: kind, origin, ...pinned, assurance: "none" } as const;
  // A name that does not fit is found before the seller is asked: the payee stands for those to come.
  const fitting = validConfig(withSeller(file, { ...named, payTo: [`0x${"0".repeat(40)}`] }), file.path);
  const clock = (): Date => new Date();
  const { totalSeconds } = known.http;
  const http = { ...known.http, totalSeconds: Math.min(totalSeconds, ANSWER_SECONDS) };
  const market = openMarket({ ...known, http }, clock);
  try {
    const added = fitting.sellers.find(({ id }) => id === wanted.id);
    if (added === undefined) throw new Error("a valid configuration has the seller that was added");
    const { seller, listing } = await kindOf(market, added, wanted.kind);
    const provider = market.providerOf(seller);
    const listed = listedModels(listing ?? (await described(provider, seller, wanted)), seller, wanted);
    // A seller without a list keeps selling what it was added for.
    const models = listing === null ? { models: listed.models.map(({ name }) => name) } : {};
    const bare = { ...named, provider: seller.provider, ...models };
    const shown = await evidenceOf(market, { config: fitting, clock, session: createVerificationCache() }, seller, {
      ...wanted,
      models: listed.models,
    });
    const asked = await askPrices(market.carrierOf, {
      seller,
      headers: provider.requestHeaders?.(seller, "unpaid") ?? {},
      models: shown.models,
      assets: known.payment.assets,
      payTo: wanted.payTo?.map((address) => address.toLowerCase()),
      tlsCertificate: shown.attested?.tlsCertificate ?? null,
    });
    const { stated, left } = statedPins(known, { ...listed, models: shown.models, terms: asked.terms });
    return entryOf(bare, { ...shown, left: [...listed.left, ...shown.left, ...left] }, { ...asked, stated });
  } catch (error) {
    if (!Proof402Error.isInstance(error) || error.code !== "http_timeout") throw error;
    throw new Proof402Error(error.code, `${wanted.origin} gave no answer in time (${http.totalSeconds} s at most).`, {
      next: "Nothing was written. Try again later, or add another seller.",
      cause: error,
    });
  } finally {
    await market.http.close();
  }
}

type Left = NewSeller["left"];

/** The models that the owner names, of a seller without a list; null without a name. */
async function described(provider: Provider, seller: Seller, { models: names }: Wanted): Promise<Listing | null> {
  if (names === undefined) return null;
  const all = await Promise.all([...new Set(names)].map((name) => provider.describeModel(seller, name)));
  return {
    models: all.flatMap(({ models }) => models),
    unsupported: all.flatMap(({ unsupported }) => unsupported),
  };
}

function listedModels(
  listing: Listing | null,
  seller: Seller,
  { models: names }: Wanted,
): { models: ListedModel[]; left: Left; relays: Listing["relays"] } {
  const listed = listing?.models ?? [];
  const unsupported = (listing?.unsupported ?? []).map(({ name, reason }) => ({ name, reason }));
  const missing = names?.find((name) => !listed.some((one) => one.name === name));
  if (missing !== undefined || listed.length === 0) {
    throw new Proof402Error(
      "model_not_found",
      missing === undefined
        ? `${seller.origin} lists no model that can be bought.`
        : `${seller.origin} lists no "${missing.slice(0, 64)}".`,
      {
        next:
          listing === null
            ? "It keeps no list: the owner can name its models with --model, if the address is right. Nothing was written."
            : "Check the seller's address and the names of its models. Nothing was written.",
      },
    );
  }
  const wanted = names === undefined ? listed : listed.filter(({ name }) => names.includes(name));
  const over = wanted.slice(MAX_MODELS).map(({ name }) => ({ name, reason: `only ${MAX_MODELS} are pinned at once` }));
  return { models: wanted.slice(0, MAX_MODELS), left: [...unsupported, ...over], relays: listing?.relays };
}

type Digest = Pick<NewModel, "sha256" | "source">;
type Shown = {
  assurance: "none" | "signed" | "attested";
  attested: Attested | null;
  reference: NonNullable<SellerEntry["reference"]>;
  models: (ListedModel & { digest: Digest })[];
  left: Left;
};

const claimed = ({ sha256 }: ListedModel): Digest => ({ sha256, source: "claimed" });

/** Judges a seller's evidence under the pins that it would get, as a purchase judges it. */
async function evidenceOf(
  market: OpenMarket,
  ctx: Judging,
  seller: Seller,
  { models, assurance: wanted }: { models: readonly ListedModel[]; assurance?: Assurance | undefined },
): Promise<Shown> {
  const nonce = crypto.getRandomValues(new Uint8Array(NONCE_BYTES));
  const found = wanted === "none" ? null : await market.providerOf(seller).attest(seller, nonce);
  if (found === null) {
    if (wanted === "signed") throw notAttested(seller, "it serves no signing key");
    if (wanted !== undefined && wanted !== "none") throw notAttested(seller, "it serves no attestation");
    const all = models.map((model) => ({ ...model, digest: claimed(model) }));
    return { assurance: "none", attested: null, reference: {}, models: all, left: [] };
  }
  await requireSameTime(ctx, seller, found.evidence);
  const { assurance, reference, digestOf } = await pinsFor(ctx, seller, found, wanted);
  const pinned: Seller = { ...seller, reference: { ...seller.reference, ...reference } };
  const sellers = ctx.config.sellers.map((one) => (one.id === seller.id ? pinned : one));
  const judging = { ...ctx, config: { ...ctx.config, sellers } };
  const judged = await Promise.all(
    models.map(async (model) => ({
      model,
      result: await judge(judging, { seller: pinned, model }, found.evidence, assurance),
    })),
  );
  const good = judged.flatMap(({ model, result }) => (result.ok ? [{ model, attested: result.attested }] : []));
  const [first] = good;
  const left = judged.flatMap(({ model: { name }, result }) => (result.ok ? [] : [{ name, reason: result.message }]));
  if (first === undefined) throw notAttested(seller, left[0]?.reason ?? "it lists no model");
  return {
    assurance,
    attested: first.attested,
    reference,
    models: good.map(({ model }) => ({ ...model, digest: digestOf(model) })),
    left,
  };
}

type Pins = {
  assurance: "signed" | "attested";
  reference: Pick<Seller["reference"], "keyIds"> | Pick<Seller["reference"], "measurements" | "models">;
  digestOf: (model: ListedModel) => Digest;
};

/** The pins of what a seller shows: its measurements and their models, or its key alone, which is its own word. */
async function pinsFor(
  ctx: Judging,
  seller: Seller,
  { keyId, evidence }: { keyId: string; evidence: readonly Evidence[] },
  wanted: Assurance | undefined,
): Promise<Pins> {
  if (evidence.every(({ kind }) => kind === "signature.key")) {
    if (wanted !== undefined && wanted !== "signed") throw notAttested(seller, "it serves no attestation");
    return { assurance: "signed", reference: { keyIds: [keyId] }, digestOf: claimed };
  }
  const { forwards }: ExchangeFormat = FORMATS[seller.provider];
  const shown = await shownBy(ctx, evidence, { lacksManifest: forwards === true });
  if (typeof shown === "string") throw notAttested(seller, shown);
  const { measurements, digests } = shown;
  return {
    assurance: "attested",
    reference: { measurements: [measurements], models: digests },
    digestOf: (model) =>
      forwards === true ? claimed(model) : { sha256: digests[model.name] ?? null, source: "measured" },
  };
}

/**
 * The measurements of a document, and the digests in the manifest that travels with it; or why there are none. A seller
 * that passes requests on has no manifest.
 */
async function shownBy(
  { config, session }: Judging,
  evidence: readonly Evidence[],
  { lacksManifest }: { lacksManifest: boolean },
): Promise<{ measurements: Record<string, string>; digests: Record<string, string> } | string> {
  const document = evidence.flatMap((one) => nitroEvidence.safeParse(one).data ?? [])[0];
  if (document === undefined) return "its attestation is of no kind that this version reads";
  const facts = await session.nitroFacts(document.document, config.verification.simulatedRoots);
  if (!facts.ok) return facts.message;
  const [text] = evidence.flatMap((one) => manifestEvidence.safeParse(one).data?.manifest ?? []);
  const manifest = text === undefined ? null : session.manifest(text);
  const entries = lacksManifest ? [] : manifest?.entries;
  if (entries == null) return "it serves no manifest of its models that could be read";
  const measurements = MEASURED.map((index) => [index, toHex(facts.payload.pcrs.get(index) ?? new Uint8Array())]);
  return {
    measurements: Object.fromEntries(measurements) as Record<string, string>,
    digests: Object.fromEntries(entries.map(({ name, sha256 }) => [name, sha256])),
  };
}

const notAttested = ({ origin }: Seller, why: string): Proof402Error =>
  new Proof402Error("attestation_failed", `${origin} did not prove what it is: ${why.replace(/\.$/, "")}.`, {
    next: "Nothing was paid or written. The owner can add it with --assurance none, for calls that need no evidence.",
  });

type Asked = {
  payees: string[];
  facilitators: string[];
  prices: readonly AskedPrice[];
  unpriced: Left;
  stated: ReturnType<typeof statedPins>["stated"];
};

function entryOf(
  bare: Pick<SellerEntry, "id" | "provider" | "origin" | "path" | "models" | "certificateSha256">,
  { assurance, attested, reference, models, left }: Shown,
  { payees, facilitators, prices, unpriced, stated: { channel, proofs = {}, relays = [] } }: Asked,
): NewSeller {
  const format: ExchangeFormat = FORMATS[bare.provider];
  const priced = models.flatMap(({ name, digest, inputs, takes }): NewModel[] => {
    const price = prices.find((one) => one.name === name);
    const example = takes?.example ?? (inputs.length === 0 ? format.exampleInput(inputs) : null);
    return price === undefined ? [] : [{ name, ...digest, price, example }];
  });
  const digests = priced.flatMap(({ name, sha256 }) => (sha256 === null ? [] : [[name, sha256] as const]));
  // Proofs and batches are of signed answers.
  const isSigned = assurance !== "none";
  const proved = Object.entries(proofs).filter(([name]) => isSigned && priced.some((one) => one.name === name));
  return {
    entry: {
      ...bare,
      payTo: payees,
      ...(facilitators.length === 0 ? {} : { facilitators }),
      ...(channel === undefined ? {} : { channel }),
      assurance: proved.length > 0 ? "proven" : assurance,
      reference: {
        ...reference,
        models: Object.fromEntries(digests),
        ...(proved.length > 0 ? { proofs: Object.fromEntries(proved) } : {}),
        ...(isSigned && relays.length > 0 ? { relays } : {}),
      },
    },
    simulated: attested?.simulated ?? false,
    models: priced,
    left: [...left, ...unpriced],
  };
}
