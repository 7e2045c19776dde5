// A process of its own for processes.test.ts. Reads its orders from the environment, opens the file, says `ready`, and
// works once it is told to. The fault points are here, not in the library.
import { once } from "node:events";
import { markAnswered, markSent, markSigned, release } from "../../src/payment/journal.ts";
import { reserve, type ReserveRequest } from "../../src/payment/reserve.ts";
import { walletFromPrivateKey } from "../../src/payment/wallet.ts";
import { openDatabase } from "../../src/storage/database.ts";
import { immediate } from "../../src/storage/migrations.ts";

export type Orders =
  | { do: "reserve"; requests: SerializedRequest[] }
  | { do: "transition"; id: string; transition: "sign" | "release" }
  | { do: "die"; at: "inside" | "reserved" | "signed" | "sent" | "answered"; request: SerializedRequest; key: string };
/** `now` as JSON carries it. */
export type SerializedRequest = Omit<ReserveRequest, "now" | "maxAmount"> & { now: string };

const orders = JSON.parse(process.env.PROOF402_TEST_ORDERS ?? "null") as Orders;
const requestOf = (request: SerializedRequest): ReserveRequest => ({ ...request, now: new Date(request.now) });
const say = (value: unknown): void => void process.stdout.write(`${JSON.stringify(value)}\n`);

const db = await openDatabase(process.env.PROOF402_TEST_DB ?? "");
say("ready");
await once(process.stdin, "data");

if (orders.do === "reserve") {
  const outcomes: { kind: string; id?: string; code?: string }[] = [];
  for (const request of orders.requests) {
    const result = await reserve(db, requestOf(request));
    outcomes.push({
      kind: result.kind,
      ...("purchase" in result ? { id: result.purchase.id } : {}),
      ...("refusal" in result ? { code: result.refusal.code } : {}),
    });
  }
  say(outcomes);
} else if (orders.do === "transition") {
  const now = new Date();
  say(
    await (orders.transition === "sign"
      ? markSigned(db, orders.id, { now })
      : release(db, orders.id, { reason: "test", now })),
  );
} else {
  const { at, key } = orders;
  const request = requestOf(orders.request);
  const { now } = request;
  /** Says what a parent has to know and dies as a process dies: at once. */
  const dieAt = async (point: string, words: unknown = null): Promise<void> => {
    if (point !== at) return;
    await new Promise((resolve) => process.stdout.write(`${JSON.stringify(words)}\n`, resolve));
    process.kill(process.pid, "SIGKILL");
    await new Promise(() => undefined);
  };
  await immediate(db, async (tx) => {
    const result = await reserve(tx, request);
    if (at === "inside") await dieAt("inside", result.kind);
  });
  const purchase = await reserve(db, request);
  if (purchase.kind !== "existing") throw new Error(purchase.kind);
  const { id, payment, offer } = purchase.purchase;
  await dieAt("reserved");
  await markSigned(db, id, { now });
  const signature = await walletFromPrivateKey(key).signAuthorization(payment, offer);
  await dieAt("signed", signature);
  await markSent(db, id, { now });
  await dieAt("sent", signature);
  await markAnswered(db, id, { receiptId: "receipt", now });
  await dieAt("answered", signature);
}
await db.destroy();
process.exit(0);
