import type { Authorization, SimulatedChain } from "./simulated-chain.ts";
import { PAYEES, type Paid, type SellerId } from "./simulated-market.ts";

const HOUR = 3_600_000;
const DAY = 24 * HOUR;
/** How long an untold answer is handed to an equal call, ms. */
const UNTOLD_MS = 600_000;

/** The owner's policy of a moment. Amounts in base units. */
export type Policy = {
  perCall: number;
  perHour: number;
  perDay: number;
  total: number;
  callsPerHour: number;
  approveAbove: number | null;
  /** A total for the cheap seller alone. */
  sellerTotal: number | null;
  sellers: SellerId[];
  /** Whether the token, and the sellers' payees, are still configured. */
  asset: boolean;
  payees: boolean;
};

export const POLICY: Policy = {
  perCall: 6000,
  perHour: 9000,
  perDay: 14_000,
  total: 30_000,
  callsPerHour: 6,
  approveAbove: null,
  sellerTotal: null,
  sellers: ["cheap", "dear"],
  asset: true,
  payees: true,
};

/** What a call asks for. */
export type Asked = {
  args: number;
  /** Names the question with the bounds of its call: calls that agree in it are equal. */
  digest: string;
  /** Its own key, the surface's name for it, or neither. */
  own: string | null;
  surface: string | null;
  maxAmount: number | null;
};

/** An authorization that left the buyer: whoever got it may redeem it. */
export type Entry = {
  key: string;
  digest: string;
  sellerId: string;
  authorization: Authorization;
  header: string;
  /** When it was first sent, by the buyer's clock, unix ms. */
  at: number;
  /** The command that made it. */
  madeIn: number;
  answeredAt: number | null;
  /** The command in which the seller turned it down for another price. */
  turnedDownIn: number | null;
};

/** The plain model: what left the buyer, what it said, and what must hold of both. */
export type Ledger = {
  entries: Entry[];
  /** The receipt that each key's caller was told of. */
  told: Map<string, string>;
  /** Yeses of a person that no payment has used up, by key. */
  approvals: Map<string, number>;
  /** A process broke or was killed in the middle of a call. */
  broken: boolean;
  /** Payments that the journal noted as sent and no seller got, by nonce: the policy of that time consented to them. */
  noted: Map<string, Policy>;
  /** What was found to be untrue. */
  faults: string[];
};

export const createLedger = (): Ledger => ({
  entries: [],
  told: new Map(),
  approvals: new Map(),
  broken: false,
  noted: new Map(),
  faults: [],
});

const amountOf = (entries: readonly Entry[]): number =>
  entries.reduce((sum, { authorization }) => sum + Number(authorization.value), 0);

export const hasMoved = (chain: SimulatedChain, { authorization }: Entry): boolean =>
  chain.useOf(authorization.nonce) !== null;

/** It moved money or still can. */
export const isAtStake = (chain: SimulatedChain, entry: Entry): boolean =>
  hasMoved(chain, entry) || chain.canStillMove(entry.authorization);

/** A call whose money is out without an answer that its caller was told of, or could still be handed. */
export function openCalls(ledger: Ledger, chain: SimulatedChain, digest: string, now: number): Set<string> {
  const open = ledger.entries.filter(
    (entry) =>
      entry.digest === digest &&
      isAtStake(chain, entry) &&
      !ledger.told.has(entry.key) &&
      (entry.answeredAt === null || Math.abs(now - entry.answeredAt) < UNTOLD_MS),
  );
  return new Set(open.map(({ key }) => key));
}

export type Sent = {
  chain: SimulatedChain;
  policy: Policy;
  /** The buyer's clock, unix ms. */
  now: number;
  /** The same as the payment was planned: a call taken up later, by a clock set back since, sends the same one. */
  plannedAt: number;
  command: number;
  /** Null where several calls are made at once. */
  asked: Asked | null;
  paid: Paid;
  key: string;
  digest: string;
};

/** Judges a paid request as it reaches a seller, and keeps what it carries. */
export function judgeSent(ledger: Ledger, sent: Sent): void {
  const { policy, paid, key } = sent;
  const fault = (text: string): void =>
    void ledger.faults.push(`${text} (key ${key}, nonce ${paid.authorization.nonce})`);
  if (!policy.asset) fault("sent an asset that is not configured");
  if (!policy.sellers.includes(paid.sellerId as SellerId)) fault("paid a seller that is not configured");
  if (!policy.payees || paid.authorization.to !== PAYEES[paid.sellerId as SellerId])
    fault("paid a payee that is not configured");
  if (ledger.told.has(key)) fault("sent money for a call whose answer was told");
  const known = ledger.entries.find(({ authorization }) => authorization.nonce === paid.authorization.nonce);
  if (known !== undefined) {
    if (known.header !== paid.header) fault("another authorization under the same nonce");
    if (known.key !== key) fault("one nonce under two keys");
    return;
  }
  // A payment that may be out is sent again under lowered caps, too: it spends nothing that is not counted.
  judgeNew(ledger, { ...sent, policy: ledger.noted.get(paid.authorization.nonce) ?? policy }, fault);
  const { authorization, sellerId, header } = paid;
  const made = { key, digest: sent.digest, sellerId, authorization, header, at: sent.now, madeIn: sent.command };
  ledger.entries.push({ ...made, answeredAt: null, turnedDownIn: null });
}

function judgeNew(ledger: Ledger, sent: Sent, fault: (text: string) => void): void {
  const { chain, policy, now, plannedAt, command, asked, paid, key } = sent;
  const amount = Number(paid.authorization.value);
  const alive = ledger.entries.filter((entry) => isAtStake(chain, entry));
  const within = (ms: number): Entry[] => alive.filter(({ at }) => at > now - ms);
  const same = alive.filter((entry) => entry.key === key);
  const inCall = amountOf(same) + amount;
  if (inCall > policy.perCall) fault("over the cap per call");
  if (amountOf(within(HOUR)) + amount > policy.perHour) fault("over the cap per hour");
  if (amountOf(within(DAY)) + amount > policy.perDay) fault("over the cap per day");
  if (amountOf(alive) + amount > policy.total) fault("over the total cap");
  if (within(HOUR).length + 1 > policy.callsPerHour) fault("over the count of calls");
  const here = amountOf(alive.filter(({ sellerId }) => sellerId === "cheap"));
  if (policy.sellerTotal !== null && paid.sellerId === "cheap" && here + amount > policy.sellerTotal)
    fault("over the seller's cap");
  if (paid.authorization.validBefore > plannedAt / 1000 + 120)
    fault("an authorization lives longer than the offer says");
  for (const entry of same) {
    if (hasMoved(chain, entry)) fault("paid again after a payment of the call had moved");
    if (entry.turnedDownIn !== command) fault("paid beside a payment that was not turned down");
    const again = entry.sellerId === paid.sellerId && entry.authorization.value === paid.authorization.value;
    if (again) fault("paid twice for the same offer");
  }
  if (same.length > 1) fault("a third payment beside two that can still move");
  if (policy.approveAbove !== null && inCall > policy.approveAbove) {
    const yes = ledger.approvals.get(key) ?? 0;
    if (yes === 0) fault("paid above the threshold without a person's yes");
    ledger.approvals.set(key, Math.max(0, yes - 1));
  }
  if (asked === null) return;
  if (asked.maxAmount !== null && inCall > asked.maxAmount) fault("over the call's own limit");
  if (asked.own !== null && asked.own !== key) fault("paid under another key than the caller's own");
  if (asked.own === null && asked.surface !== key) {
    const open = openCalls(ledger, chain, asked.digest, now);
    open.delete(key);
    // One that the journal notes as sent is out for all that it can know.
    if (open.size > 0 && !ledger.noted.has(paid.authorization.nonce))
      fault(`paid anew beside the open call ${[...open].join(", ")}`);
  }
}
