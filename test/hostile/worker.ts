// A buyer in a process of its own. Reads its orders from the environment, opens the buyer, says `ready`, and works once it
// is told to. It dies where its orders say, as processes die; the library knows nothing of it.
import { once } from "node:events";
import { openBuyer } from "../../src/buyer/open.ts";
import { configSchema } from "../../src/config/schema.ts";
import { Proof402Error } from "../../src/errors.ts";
import { walletFromPrivateKey, type Wallet } from "../../src/payment/wallet.ts";
import { newestAppraisal } from "../../src/receipts/newest.ts";
import type { Fault, Orders, Said } from "./orders.ts";
import { buyWith } from "../support/buy.ts";

const orders = JSON.parse(process.env.PROOF402_TEST_ORDERS ?? "null") as Orders;
const say = (value: unknown): void => void process.stdout.write(`${JSON.stringify(value)}\n`);
const last = orders.keys.at(-1);

const QUESTION = {
  model: "eth-risk",
  seller: "honest",
  input: { features: [-0.012, -0.034, -0.081, 0.62, 0.74, -0.19, 1.8, 0.21] },
};

/** Arms the fault: true once the last purchase has begun. */
let armed = false;
const dieAt = (point: Fault): void => {
  if (armed && orders.die === point) process.kill(process.pid, "SIGKILL");
  if (armed && orders.stop === point) process.kill(process.pid, "SIGSTOP");
};

const own = walletFromPrivateKey(orders.privateKey);
const wallet: Wallet = {
  ...own,
  async signAuthorization(...given) {
    dieAt("signing");
    const signature = await own.signAuthorization(...given);
    dieAt("signature");
    return signature;
  },
};
const buyer = await openBuyer({ config: configSchema.parse(orders.config), wallet }).catch((error: unknown) => {
  if (!Proof402Error.isInstance(error)) throw error;
  process.stderr.write(`${error.code}: ${error.message}\n`);
  process.exit(1);
});
buyer.onReceipt((receipt) => {
  if (newestAppraisal(receipt).layers.settlement.status === "pass") dieAt("settled");
});
say("ready");
await once(process.stdin, "data");

async function purchase(key: string): Promise<void> {
  if (key === last) {
    armed = true;
    if (typeof orders.die === "number") setTimeout(() => process.kill(process.pid, "SIGKILL"), orders.die);
  }
  try {
    const result = await buyWith(
      buyer,
      {
        ...(orders.asks?.[orders.keys.indexOf(key)] ?? QUESTION),
        idempotencyKey: key,
        ...(key === last && orders.die === "settled" ? { wait: "verified" as const } : {}),
      },
      {
        onProgress: ({ step }) => {
          if (step !== "landed") dieAt(step);
          // The request leaves in a later turn of the loop than the step that announces it.
          if (step === "paid") setImmediate(() => setImmediate(() => dieAt("on the wire")));
        },
      },
    );
    const receipt = "receipt" in result && result.stored ? result.receipt.id : null;
    say({ key, code: "ok", receipt } satisfies Said);
  } catch (error) {
    if (!Proof402Error.isInstance(error)) throw error;
    const { code, message, money } = error;
    say({ key, code, message, ...(money === undefined ? {} : { money }), receipt: null } satisfies Said);
  }
}

if (orders.atOnce === true) await Promise.all(orders.keys.map(purchase));
else for (const key of orders.keys) await purchase(key);
await buyer.close();
process.exit(0);
