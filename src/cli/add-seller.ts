import { buyCommand } from "./next.ts";
import type { Command } from "commander";
import { BOUGHT_FROM, type Seller } from "../market/types.ts";
import { lookAtSeller, type NewSeller } from "../buyer/new-seller.ts";
import { addSeller } from "../config/change.ts";
import { configPath, readConfigFile, validConfig } from "../config/load.ts";
import { Proof402Error } from "../errors.ts";
import { chainName, moneyText } from "../chain/money-text.ts";
import { ASSURANCES, type Assurance } from "../receipts/schema.ts";
import { EXIT, globals, note, print, printResult } from "./globals.ts";
import { confirm } from "./owner.ts";
import { busy } from "./progress.ts";

type Options = {
  id?: string;
  provider?: string;
  model?: string[];
  certificateSha256?: string;
  payTo?: string[];
  assurance?: string;
  yes?: boolean;
};

/** `proof402 sellers add`: shows what a seller says and attests of itself, asks, and pins it in the configuration. Pays nothing. */
export async function addNewSeller(url: string, options: Options, command: Command): Promise<number> {
  const { json = false, config } = globals(command);
  const file = await readConfigFile(configPath(config));
  const place = placeOf(url);
  const { origin } = place;
  const { id = idOf(origin), model: models, certificateSha256, payTo, yes } = options;
  const assurance = ASSURANCES.find((one): one is Assurance => one === options.assurance);
  const kind = kindNamed(options.provider);
  const wanted = {
    id,
    ...place,
    ...(kind === undefined ? {} : { kind }),
    ...(models === undefined ? {} : { models }),
    ...(certificateSha256 === undefined ? {} : { certificateSha256 }),
    ...(payTo === undefined ? {} : { payTo }),
    ...(assurance === undefined ? {} : { assurance }),
  };
  const seller = await busy(`Asking ${origin} what it sells`, () => lookAtSeller(file, wanted));
  const tell = json ? note : print;
  tell(sellerText(seller));
  await confirm(yes, { question: `Pin this seller in ${file.path}?`, otherwise: "Nothing was written." });
  await addSeller(file, seller.entry);
  const { verification } = validConfig(file.value, file.path);
  const { assurance: most } = seller.entry;
  const [first] = seller.models;
  const lower = ASSURANCES.indexOf(most) < ASSURANCES.indexOf(verification.assurance) ? most : undefined;
  const next = `Buy with: proof402 ${buyCommand({ model: first?.name, seller: id, assurance: lower, input: first?.example })}`;
  if (json) printResult({ config: file.path, ...viewOf(seller) }, next);
  else print(`Wrote ${file.path}. Commands take the new seller at once, running servers at their next start.\n${next}`);
  return EXIT.ok;
}

/** Throws Proof402Error `usage` for a kind of seller that nothing is bought from. */
function kindNamed(provider: string | undefined): Seller["provider"] | undefined {
  const kind = BOUGHT_FROM.find((one) => one === provider);
  if (kind !== undefined || provider === undefined) return kind;
  throw new Proof402Error("usage", `${provider.slice(0, 64)} is no kind of seller.`, {
    next: `Give one of ${BOUGHT_FROM.join(", ")}, or leave --provider out: then each is tried.`,
  });
}

/** A pinned seller and its trust, for machines. */
export const viewOf = ({ entry, simulated, models, left }: NewSeller): Record<string, unknown> => ({
  seller: entry,
  trust: "first_use",
  simulated,
  models: models.map(({ name, sha256, source, price: { amount, asset } }) => ({
    name,
    sha256,
    source,
    price: { amount, asset: asset.asset, network: asset.network, symbol: asset.symbol, decimals: asset.decimals },
  })),
  left,
});

/** A new seller for a person: payees, evidence, models and prices, with the source of each. */
export function sellerText({ entry, simulated, models, left }: NewSeller): string {
  const networks = [...new Set(models.map(({ price }) => chainName(price.asset.network)))];
  const measured = Object.entries(entry.reference?.measurements?.[0] ?? {});
  const evidence = simulated
    ? "attested by SIMULATED hardware: a root of the configuration vouches for it, and no hardware vendor"
    : EVIDENCE[measured.length > 0 ? "attested" : (entry.reference?.keyIds ?? []).length > 0 ? "signed" : "none"];
  const { proofs = {}, relays = [] } = entry.reference ?? {};
  return [
    `Seller ${entry.id} at ${entry.origin}${entry.path ?? ""} (${entry.provider})`,
    ...entry.payTo.map(
      (payee) => `  Paid at   ${payee} on ${networks.join(", ")} (the seller's own word, in its offers)`,
    ),
    ...(entry.facilitators ?? []).map(
      (address) => `  Settled   by ${address}, who names the amounts (${UNSHOWN}, in its offers)`,
    ),
    ...(entry.certificateSha256 === undefined
      ? []
      : [`  TLS       the certificate ${entry.certificateSha256} (as you gave it)`]),
    `  Evidence  ${evidence}`,
    ...(entry.reference?.keyIds ?? []).map((keyId) => `    key id  ${keyId} (the seller's own word)`),
    ...measured.map(([index, digest]) => `    measurement ${index}  ${digest}`),
    ...models.flatMap(({ name, sha256, source, price: { amount, asset } }) => [
      `  Sells     ${name} for ${moneyText(amount, asset)}`,
      `    model digest  ${sha256 === null ? "none given" : `${sha256} (${SOURCES[source]})`}`,
    ]),
    ...Object.entries(proofs).map(
      ([name, digest]) => `  Proves    ${name} under the key ${digest} (${UNSHOWN}; no proof was seen yet)`,
    ),
    ...relays.map(
      ({ network, contract }) =>
        `  Anchors   by the contract ${contract} on ${chainName(network)} (${UNSHOWN}; no batch was looked up)`,
    ),
    ...(entry.channel === undefined
      ? []
      : [
          `  Channels  ${entry.channel.receiverAuthorizer} may claim what vouchers grant; the rest comes back ${entry.channel.withdrawDelaySeconds} s after closing (${UNSHOWN}, in its offers)`,
        ]),
    ...left.map(({ name, reason }) => `  Left out  ${name}: ${reason}`),
    TRUST,
  ].join("\n");
}

const UNSHOWN = "the seller's own word";

const EVIDENCE = {
  none: "none: nothing shows which code or model answers, so only calls with --assurance none buy here",
  signed:
    "a signing key alone: pinned, it shows that answers are signed by its holder, and nothing says in what machine it is",
  attested: "attested by AWS Nitro hardware",
} as const;

const SOURCES = {
  measured: "from the list that its measurements cover",
  claimed: "the seller's own word",
} as const;

const TRUST =
  "This is trust on first use: all of it comes from the seller, and is compared from now on with what it was now. Compare it first with what the seller publishes elsewhere. Nothing was paid.";

/** What a seller's address looks like. */
export const ADDRESS_FORM =
  "Give https:// (or http://), the host and perhaps a port: https://risk.example.org. An MCP server has a path, too: https://tools.example.org/mcp.";

/** The origin of a seller's address, and its path if it has one. Throws Proof402Error `usage`. */
export function placeOf(url: string): { origin: string; path?: string } {
  const parsed = URL.canParse(url) ? new URL(url) : null;
  const isPlain = parsed !== null && ["http:", "https:"].includes(parsed.protocol) && parsed.username === "";
  if (isPlain && parsed.search === "" && parsed.hash === "")
    return { origin: parsed.origin, ...(parsed.pathname === "/" ? {} : { path: parsed.pathname }) };
  throw new Proof402Error("usage", `${url.slice(0, 200)} is no seller's address.`, {
    next: ADDRESS_FORM,
  });
}

/** A name for a seller where its owner gives none: its host, and its port if it has its own, without signs before them. */
export const idOf = (origin: string): string =>
  new URL(origin).host
    .replaceAll(/[^a-z0-9._-]/g, "-")
    .replace(/^[^a-z0-9]+/, "")
    .slice(0, 64);
