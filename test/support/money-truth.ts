import { hasMoved, isAtStake, openCalls, type Asked, type Ledger } from "./money-ledger.ts";
import type { Told, World } from "./money-world.ts";

/** Holds what a caller was told against what left the buyer and what the chain shows. */
export function judgeTold(world: World, asked: Asked, told: Told): void {
  const { ledger, chain } = world;
  const fault = (text: string): void => void ledger.faults.push(`${text}: ${JSON.stringify(said(told))}`);
  const own = (key: string) => ledger.entries.filter((entry) => entry.key === key);
  if (told.kind === "result") {
    const { key, receiptId, args, paidNow, stored } = told;
    if (args !== asked.args) fault(`the answer to another question (${args})`);
    const before = ledger.told.get(key);
    if (before !== undefined && before !== receiptId) fault(`another answer than ${before} under the same key`);
    if (asked.own !== null && asked.own !== key) fault("a result under another key than the caller's own");
    if (own(key).length === 0) fault("an answer without a payment");
    const made = own(key).some(({ madeIn }) => madeIn === world.command);
    // A process that broke between the note of the sending and the sending leaves a payment that counts as its own.
    if (made !== paidNow && (paidNow || !ledger.broken)) fault(`paidNow is not true to what was paid (${made})`);
    // Only a file that broke keeps no receipt.
    if (stored) ledger.told.set(key, receiptId);
    else if (!world.process.isBroken()) fault("an answer that was paid for is not stored");
    return;
  }
  const { money, idempotencyKey: key } = told.error;
  if (money === undefined) return fault("an error that does not speak of the money");
  if (money === "not-moved") {
    // A question names the call that waits for its answer, and so does a payment that waits for its owner's.
    if (key !== undefined && told.kind === "error" && told.error.code !== "approval_required")
      fault("a key to take up where nothing is at stake");
    const names = new Set([asked.own, asked.surface].filter((name) => name !== null));
    if (asked.own === null) for (const open of openCalls(ledger, chain, asked.digest, world.now())) names.add(open);
    const made = ledger.entries.filter(({ madeIn, digest }) => madeIn === world.command && digest === asked.digest);
    for (const entry of [...ledger.entries.filter((one) => names.has(one.key)), ...made])
      if (isAtStake(chain, entry)) fault(`not-moved, but ${entry.authorization.nonce} is out`);
    return;
  }
  if (key === undefined) return fault("money is at stake and no key is named");
  if (asked.own !== null && asked.own !== key) fault("the key named is not the caller's own");
  if (money === "moved" && !own(key).some((entry) => hasMoved(chain, entry)))
    fault("moved, but the chain shows nothing");
}

const said = (told: Told): unknown =>
  "error" in told
    ? { code: told.error.code, money: told.error.money, key: told.error.idempotencyKey, next: told.error.next }
    : told;

/** What must hold of journal, receipts and spending after each command, whatever happened. */
export async function judgeBooks(world: World): Promise<void> {
  const { ledger, chain, db, process } = world;
  const fault = (text: string): void => void ledger.faults.push(text);
  const rows = await db.selectFrom("purchases").selectAll().execute();
  for (const entry of ledger.entries) {
    const row = rows.find(({ nonce }) => nonce === entry.authorization.nonce);
    if (row === undefined) fault(`the journal lost ${entry.authorization.nonce}`);
    if (row?.state === "released" && isAtStake(chain, entry)) fault(`released, and still of use: ${row.nonce}`);
    if (row?.state === "settled" && !hasMoved(chain, entry))
      fault(`settled, and the chain shows nothing: ${row.nonce}`);
    if (row?.state === "settled" && row.settled_amount !== String(entry.authorization.value))
      fault(`settled at another amount: ${row.nonce}`);
  }
  for (const { nonce, state } of rows) {
    const left = ledger.entries.some(({ authorization }) => authorization.nonce === nonce);
    if (!left && (state === "answered" || state === "settled")) fault(`${state} without having been sent: ${nonce}`);
    if (!left && state === "sent" && !ledger.noted.has(nonce)) ledger.noted.set(nonce, world.policy);
  }
  await judgeReceipts(world, fault);
  if (process.isDead()) return;
  const { assets, recent } = await process.buyer.spending();
  const open = ledger.entries.filter((entry) => isAtStake(chain, entry));
  const atStake = open.reduce((sum, { authorization }) => sum + authorization.value, 0n);
  const used = assets[0]?.windows.find(({ name }) => name === "total")?.used ?? "0";
  if (world.policy.asset && BigInt(used) < atStake) fault(`spending shows ${used} of ${atStake} at stake`);
  for (const { key } of recent.length < 20 ? open : [])
    if (!recent.some(({ idempotencyKey }) => idempotencyKey === key)) fault(`spending does not name ${key}`);
}

/** One served receipt for a call, kept for as long as the file. */
async function judgeReceipts({ db, ledger }: World, fault: (text: string) => void): Promise<void> {
  const purchases = await db
    .selectFrom("purchases")
    .select(["idempotency_key", "nonce", "receipt_id"])
    .where("receipt_id", "is not", null)
    .execute();
  const receipts = await db.selectFrom("receipts").select(["id", "payment_nonce", "json"]).execute();
  const served = receipts.filter(({ json }) => {
    const { core } = JSON.parse(json) as { core: { response: { status: number } } };
    return core.response.status < 300;
  });
  for (const { nonce, receipt_id: id } of purchases)
    if (!receipts.some((one) => one.id === id && one.payment_nonce === nonce)) fault(`receipt ${id} is not stored`);
  const keyOf = new Map<string, string>(purchases.map(({ nonce, idempotency_key: key }) => [nonce, key]));
  const keys = served.map(({ payment_nonce: nonce }) => keyOf.get(nonce));
  for (const key of new Set(keys))
    if (keys.filter((one) => one === key).length > 1) fault(`two answers under one key: ${key}`);
  for (const { id } of served)
    if (!purchases.some((one) => one.receipt_id === id)) fault(`an answer of no purchase: ${id}`);
  for (const [key, id] of ledger.told)
    if (!receipts.some((one) => one.id === id)) fault(`the answer told under ${key} is not stored`);
}

/** Ends a sequence: everybody who got an authorization redeems it, and the books are held against what moved. */
export async function judgeEnd(world: World): Promise<void> {
  const { ledger, chain } = world;
  for (const { authorization } of ledger.entries) chain.redeem(authorization);
  chain.mine();
  world.scene.rpcDown = false;
  await judgeBooks(world);
  await world.reconcile();
  await judgeBooks(world);
}

/** What was found to be untrue so far, as one error. */
export function requireTruth({ faults }: Ledger): void {
  if (faults.length > 0) throw new Error(faults.join("\n"));
}
