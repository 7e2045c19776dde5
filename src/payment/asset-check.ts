import { chainIdOf, domainSeparatorOf } from "../evidence/eip3009.ts";
import { Proof402Error } from "../errors.ts";
import type { Db } from "../storage/database.ts";
import { isUnread, type Chain } from "../chain/chain.ts";
import { PAYERS } from "./methods/methods.ts";
import type { AssetPolicy } from "./policy.ts";
import type { ChainClient } from "../chain/client.ts";
import { RpcFault } from "../chain/rpc.ts";

const view = <const Name extends string, const Outputs extends readonly { name: string; type: string }[]>(
  name: Name,
  outputs: Outputs,
) => ({ type: "function", name, stateMutability: "view", inputs: [], outputs }) as const;

/** ERC-20's optional functions, EIP-2612's and EIP-3009's separator, and EIP-5267. */
const ABI = [
  view("decimals", [{ name: "", type: "uint256" }]),
  view("name", [{ name: "", type: "string" }]),
  view("version", [{ name: "", type: "string" }]),
  view("DOMAIN_SEPARATOR", [{ name: "", type: "bytes32" }]),
  view("eip712Domain", [
    { name: "fields", type: "bytes1" },
    { name: "name", type: "string" },
    { name: "version", type: "string" },
    { name: "chainId", type: "uint256" },
    { name: "verifyingContract", type: "address" },
    { name: "salt", type: "bytes32" },
    { name: "extensions", type: "uint256[]" },
  ]),
] as const;

/** EIP-5267's `fields` of a domain with name, version, chain id and contract, and nothing else. */
const FOUR_FIELDS = "0x0f";

/** JSON-RPC's code for too many requests (EIP-1474, "limit exceeded"). */
const BUSY = -32_005;

/** What of the configuration the token contradicts. */
type Mismatch = { what: "contract" | "decimals" | "domain"; configured: string; shown: string };

/**
 * Compares an asset's decimals and EIP-712 domain with its token, once: that it agreed is kept in the database. A token
 * without such functions cannot be compared; that is kept as well. Nothing is concluded where the chain does not answer
 * within `seconds`. The domain is compared where authorizations are signed in it, which Permit2's are not.
 *
 * Throws Proof402Error `asset_mismatch` where the token contradicts the configuration, `wrong_chain`.
 */
export async function requireAsset(db: Db, chain: Chain, asset: AssetPolicy, seconds: number): Promise<void> {
  const key = `asset ${asset.network} ${asset.asset}`;
  const { decimals, domain } = asset;
  const signs = signsInDomain(asset);
  const terms = JSON.stringify({ decimals, ...(signs ? { domain } : {}) });
  const kept = await db.selectFrom("meta").select("value").where("key", "=", key).executeTakeFirst();
  if (kept?.value === terms) return;
  const mismatch = await chain
    .read((client) => compare(client, asset, signs), { seconds })
    .catch((error: unknown) => {
      if (isUnread(error)) return "unknown" as const;
      throw error;
    });
  if (mismatch === "unknown") return;
  if (mismatch !== null) throw mismatched(asset, mismatch);
  await db
    .insertInto("meta")
    .values({ key, value: terms })
    .onConflict((conflict) => conflict.column("key").doUpdateSet({ value: terms }))
    .execute();
}

/** What the token of an asset contradicts of the configuration, as an error, or null. Throws as `chain.read` does. */
export async function assetProblem(chain: Chain, asset: AssetPolicy, seconds: number): Promise<Proof402Error | null> {
  const found = await chain.read((client) => compare(client, asset, signsInDomain(asset)), { seconds });
  return found === null ? null : mismatched(asset, found);
}

const signsInDomain = ({ methods }: AssetPolicy): boolean => methods.some((method) => PAYERS[method].needsDomain);

async function compare(client: ChainClient, asset: AssetPolicy, signs: boolean): Promise<Mismatch | null> {
  const address = asset.asset;
  const ask = <Name extends (typeof ABI)[number]["name"]>(functionName: Name) =>
    client.readContract({ address, abi: ABI, functionName }).catch(absent);
  const [code, decimals, separator, described, name, version] = await Promise.all([
    client.getCode(address),
    ask("decimals"),
    ask("DOMAIN_SEPARATOR"),
    ask("eip712Domain"),
    ask("name"),
    ask("version"),
  ]);
  if (code === "0x") return { what: "contract", configured: asset.asset, shown: "no contract" };
  if (typeof decimals === "bigint" && decimals !== BigInt(asset.decimals))
    return { what: "decimals", configured: String(asset.decimals), shown: decimals.toString() };
  if (!signs) return null;
  const { domain } = asset;
  const configured = `${domain.name} / ${domain.version}`;
  const shown = `${printable(name)} / ${printable(version)}`;
  const expected = { ...domain, chainId: chainIdOf(asset.network), verifyingContract: asset.asset };
  if (typeof separator === "string")
    return separator.toLowerCase() === domainSeparatorOf(expected) ? null : { what: "domain", configured, shown };
  if (Array.isArray(described)) return isDescribed(described, expected) ? null : { what: "domain", configured, shown };
  const agrees =
    (typeof name !== "string" || name === domain.name) && (typeof version !== "string" || version === domain.version);
  return typeof name !== "string" || typeof version !== "string" || agrees
    ? null
    : { what: "domain", configured, shown };
}

function isDescribed(described: readonly unknown[], expected: Parameters<typeof domainSeparatorOf>[0]): boolean {
  const [fields, name, version, chainId, contract] = described;
  return (
    fields === FOUR_FIELDS &&
    name === expected.name &&
    version === expected.version &&
    chainId === BigInt(expected.chainId) &&
    String(contract).toLowerCase() === expected.verifyingContract
  );
}

/** The answer of a contract without such a function; a silent or busy node is an error. */
function absent(error: unknown): null {
  if (error instanceof RpcFault && (["http", "timeout", "ended"].includes(error.kind) || error.facts.code === BUSY))
    throw error;
  return null;
}

/** A token's own word is text of a stranger. */
const printable = (text: unknown): string =>
  typeof text === "string" && /^[\x20-\x7e]{1,64}$/.test(text) ? text : "(unreadable)";

const mismatched = ({ symbol, network }: AssetPolicy, { what, configured, shown }: Mismatch): Proof402Error =>
  new Proof402Error(
    "asset_mismatch",
    `The token of ${symbol} on ${network} is not as configured: its ${what} is ${what === "contract" ? "missing" : "another"}.`,
    {
      next: "Nothing was signed. The owner corrects the asset in the payment policy: address, decimals and domain.",
      details: { what, configured, shown },
    },
  );
