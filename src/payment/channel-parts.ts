import { moneyText } from "../chain/money-text.ts";
import type { Sent } from "../chain/owner/send.ts";
import { Proof402Error } from "../errors.ts";
import type { ChannelsTable } from "../storage/tables.ts";
import { readHoldings } from "./allowance.ts";
import { countEnough, openChannel } from "./channel-owner.ts";
import { recoverChannels } from "./channel-recover.ts";

type OpenOptions = Parameters<typeof openChannel>[0];
type Opened = { channel: ChannelsTable; sent: Sent | null };

/** The most channels that one command opens: each is a transaction of its own. */
export const MOST_PARTS = 100;

/**
 * Splits an amount over several channels with one seller, so that as many calls are paid at once: a voucher of one waits for
 * no other channel's. All parts together are bounded as one deposit. Opens those that are missing to `parts` open ones with
 * enough left for a part; with `another` it opens `parts` beside those. `report` hears of each before it is noted as told.
 * `confirm` is asked once for all, of the gas of all, and once more where a later one's may cost more. With one part this is
 * {@link openChannel}.
 *
 * Throws Proof402Error `deposit_too_large`, `insufficient_funds`, `channel_already_open` where none is missing, and what
 * {@link openChannel} throws; where parts were opened before, with `money` moved and their ids.
 */
export async function openParts(
  options: Omit<OpenOptions, "now" | "upTo"> & { parts: number; clock: () => Date },
): Promise<Opened[]> {
  const { parts, clock, ...one } = options;
  if (parts === 1) return [await openChannel({ ...one, now: clock() })];
  const { db, chain, wallet, seller, asset, another } = one;
  const amount = one.amount / BigInt(parts);
  if (amount <= 0n || one.amount > BigInt(asset.total) || one.amount % BigInt(parts) !== 0n) {
    throw new Proof402Error(
      "deposit_too_large",
      "A split deposit is divided by its parts without a rest, and all of it is within the policy's total.",
      { next: `Put in at most ${moneyText(asset.total, asset)}, of equal parts.`, details: { limit: asset.total } },
    );
  }
  const [receiver] = seller.payTo;
  // Those that this database has lost count, too.
  if (receiver !== undefined)
    await recoverChannels(db, chain, { payer: wallet.address, seller, asset }, receiver, clock());
  const count = (): Promise<number> => countEnough({ db, wallet, seller, asset, amount });
  const before = await count();
  const upTo = another === true ? before + parts : parts;
  // Where none is missing, this says so.
  if (before >= upTo) return [await openChannel({ ...one, amount, another: false, now: clock() })];
  await requireFunds(options, amount * BigInt(upTo - before));
  const opened: Opened[] = [];
  const confirm = confirmedOnce(one.confirm, upTo - before);
  for (let made = before; made < upTo && (await count()) < upTo; made += 1) {
    try {
      opened.push(await openChannel({ ...one, amount, another: true, upTo, confirm, now: clock() }));
    } catch (error) {
      throw opened.length === 0 || !Proof402Error.isInstance(error) ? error : broken(error, opened, upTo);
    }
  }
  return opened;
}

async function requireFunds(
  { chain, asset, wallet }: Pick<OpenOptions, "chain" | "asset" | "wallet">,
  needed: bigint,
): Promise<void> {
  const { balance } = await readHoldings(chain, asset.asset, wallet.address);
  if (balance >= needed) return;
  throw new Proof402Error(
    "insufficient_funds",
    `The wallet holds ${moneyText(balance, asset)}, and the channels that are missing take ${moneyText(needed, asset)}.`,
    { money: "not-moved", next: `Nothing was signed. Send ${asset.symbol} to ${wallet.address}, or put in less.` },
  );
}

/** Asks once about the gas of several alike transactions, and again only about one that may cost more than was agreed to. */
function confirmedOnce(confirm: OpenOptions["confirm"], times: number): OpenOptions["confirm"] {
  let agreed: bigint | null = null;
  return async (atMost) => {
    if (agreed !== null && atMost <= agreed) return;
    await confirm?.(agreed === null ? atMost * BigInt(times) : atMost);
    // Fees move a little between the first transaction and the last.
    agreed = atMost;
  };
}

/** The error of a later part: the parts before it are on chain. */
const broken = (error: Proof402Error, opened: readonly Opened[], upTo: number): Proof402Error =>
  new Proof402Error(
    error.code,
    `${opened.length} of the channels are open (${opened.map(({ channel }) => channel.id).join(", ")}), and then this went wrong: ${error.message}`,
    {
      money: "moved",
      next: `Run the same command again without --another: it opens what is missing to ${upTo}. ${error.next}`,
      details: { ...error.details, opened: opened.map(({ channel }) => channel.id) },
      cause: error,
    },
  );
