import { generatePrivateKey, privateKeyToAccount } from "viem/accounts";
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from "vitest";
import { openBuyer } from "../../src/buyer/open.ts";
import type { Buyer, BuyResult } from "../../src/buyer/types.ts";
import type { Config } from "../../src/config/schema.ts";
import { serveLocally } from "../../src/devnet/index.ts";
import { fromBase64, fromUtf8, toBase64, utf8 } from "../../src/evidence/bytes.ts";
import { requestNonceOf, termsHash } from "../../src/evidence/payment-binding.ts";
import type { PaymentMethod } from "../../src/evidence/methods/methods.ts";
import { approvePermit2 } from "../../src/payment/allowance.ts";
import { openChannel } from "../../src/payment/channel-owner.ts";
import { openChain } from "../../src/chain/chain.ts";
import { walletFromPrivateKey } from "../../src/payment/wallet.ts";
import type { WireRequest } from "../../src/payment/types.ts";
import { newestAppraisal } from "../../src/receipts/newest.ts";
import { parseReceipt, serializeReceipt } from "../../src/receipts/receipt.ts";
import type { Receipt } from "../../src/receipts/schema.ts";
import { openDatabase, type Db } from "../../src/storage/database.ts";
import { appraise } from "../../src/verify/appraise.ts";
import { appraisalPolicyOf } from "../../src/buyer/context.ts";
import { ETH_FEATURES, openMarket, type Market } from "../support/devnet.ts";
import { settlementsOf } from "../support/later.ts";
import { buyWith } from "../support/buy.ts";

let market: Market;
beforeAll(async () => {
  market = await openMarket();
});
afterAll(() => market.stop());

/** A funded wallet that pays the honest seller by this method and no other. */
async function openPurse(method: PaymentMethod, change: (config: Config) => void = () => undefined) {
  const key = generatePrivateKey();
  const { address } = privateKeyToAccount(key);
  const { bank } = market.devnet;
  await bank.fund(address);
  await bank.token.mint(address, 10_000_000n);
  const config = market.config((made) => {
    made.payment.assets = made.payment.assets.filter(({ symbol }) => symbol === "USDC");
    for (const asset of made.payment.assets) asset.methods = [method];
    made.sellers = made.sellers.filter(({ id }) => id === "honest");
    change(made);
  });
  const [[network], [asset], [seller]] = [config.networks, config.payment.assets, config.sellers];
  if (network === undefined || asset === undefined || seller === undefined) throw new Error("the devnet has them");
  const [wallet, chain, db] = [walletFromPrivateKey(key), openChain(network), await openDatabase(config.database)];
  if (method === "permit2" || method === "upto") await approvePermit2({ db, chain, wallet, asset, amount: 1_000_000n });
  if (method === "voucher") await openChannel({ db, chain, wallet, seller, asset, amount: 100_000n, now: new Date() });
  const open = async (): Promise<Buyer> => {
    const buyer = await openBuyer({ config, wallet });
    onTestFinished(() => buyer.close());
    return buyer;
  };
  onTestFinished(() => db.destroy());
  return { config, db, open };
}

async function buy(buyer: Buyer, idempotencyKey: string = crypto.randomUUID()): Promise<BuyResult> {
  const result = await buyWith(buyer, { model: "eth-risk", seller: "honest", input: ETH_FEATURES, idempotencyKey });
  return result;
}

const idOf = (receipt: Receipt): unknown =>
  (JSON.parse(fromUtf8(fromBase64(receipt.core.request.body ?? ""))) as { id: unknown }).id;
const signatureOf = async (db: Db): Promise<string> =>
  (await db.selectFrom("purchases").select("signature").executeTakeFirstOrThrow()).signature ?? "";
/** As somebody judges the file who has the buyer's policy and not its store. */
async function judgedAsFile(receipt: Receipt, config: Config) {
  const parsed = parseReceipt(serializeReceipt(receipt));
  if (!parsed.ok) throw new Error(parsed.message);
  const policy = appraisalPolicyOf(config, "attested");
  return appraise({
    receipt: parsed.receipt,
    policy,
    now: new Date(),
    evaluateAt: new Date(receipt.core.response.receivedAt),
  });
}

describe("T56: a payment and the request that its seller signs", () => {
  test.each(["eip3009", "permit2", "upto", "voucher"] as const)(
    "by %s is bound to its terms by the request, which the seller's key signs, and shown as signed once it is settled",
    async (method) => {
      const { config, db, open } = await openPurse(method);
      const buyer = await open();
      const { receipt } = await buy(buyer);
      const { core } = receipt;
      expect(receipt.version).toBe(2);
      expect([core.request.nonce, idOf(receipt)]).toEqual([termsHash(core), termsHash(core)]);
      expect(core.listedPrice).toMatchObject({ network: core.offer.network, asset: core.offer.asset, amount: "10000" });
      const sums = method === "voucher" ? { previous: "0", cumulative: "10000" } : {};
      expect(core.payment).toMatchObject({ salt: expect.stringMatching(/^0x[0-9a-f]{64}$/), ...sums });
      expect(receipt.later).toEqual([]);
      const settled = await buyer.getReceipt(receipt.id, { waitSeconds: 120 });
      expect(newestAppraisal(settled).verdict).toBe("verified");
      const signature = (await signatureOf(db)).toLowerCase();
      expect(settlementsOf(settled).map((one) => one.signature)).toEqual([signature]);
      const { layers, notProven } = await judgedAsFile(settled, config);
      expect(layers.payment).toMatchObject({ status: "pass" });
      expect(notProven.join(" ")).not.toContain("That the payer agreed");
    },
  );
});

describe("T58: the payer's signature before and after", () => {
  test("stays in the journal while the chain has not confirmed that it is used up", async () => {
    const { config, db, open } = await openPurse("eip3009", (made) => {
      for (const network of made.networks) network.confirmations = 1_000_000;
    });
    const buyer = await open();
    const { receipt } = await buy(buyer);
    const signature = await signatureOf(db);
    expect(signature).toMatch(/^0x[0-9a-f]{130}$/);
    const stored = await buyer.getReceipt(receipt.id);
    const told = [
      fromUtf8(serializeReceipt(stored)),
      JSON.stringify(await buyer.spending()),
      JSON.stringify(await buyer.audit()),
      JSON.stringify(receipt),
    ];
    for (const text of told) expect(text.toLowerCase()).not.toContain(signature.slice(2));
    const { layers, notProven } = await judgedAsFile(stored, config);
    expect(layers.payment.status).toBe("pass");
    expect(notProven.join(" ")).toContain("That the payer agreed to these terms");
  });
});

/**
 * The honest seller behind one that keeps what it is asked, answers some of the paid requests itself, and may list other
 * prices once it was paid.
 */
async function openFront(answer: (paid: number) => Response | null, relist = (listing: string): string => listing) {
  const { origin } = market.devnet.sellers.honest;
  const asked: { paid: boolean; body: string }[] = [];
  const served = await serveLocally(async (request) => {
    const { pathname, search } = new URL(request.url);
    const body = request.method === "POST" ? await request.text() : undefined;
    if (body !== undefined) asked.push({ paid: request.headers.has("payment-signature"), body });
    const own =
      asked.at(-1)?.paid === true && body !== undefined ? answer(asked.filter(({ paid }) => paid).length) : null;
    if (own !== null) return own;
    const headers = new Headers(request.headers);
    for (const name of ["host", "connection", "content-length"]) headers.delete(name);
    const got = await fetch(`${origin}${pathname}${search}`, {
      method: request.method,
      headers,
      ...(body === undefined ? {} : { body }),
    });
    const back = new Headers(got.headers);
    for (const name of ["content-encoding", "content-length", "connection", "transfer-encoding"]) back.delete(name);
    if (request.method === "GET" && !pathname.includes("attestation") && asked.some(({ paid }) => paid))
      return new Response(relist(await got.text()), { status: got.status, headers: back });
    return new Response(await got.arrayBuffer(), { status: got.status, headers: back });
  });
  onTestFinished(() => served.stop());
  return { asked, at: (config: Config): void => config.sellers.forEach((seller) => (seller.origin = served.origin)) };
}

describe("the requests of a purchase", () => {
  test("are one for the price and a paid one of the same size, and with a known price the paid one alone", async () => {
    const front = await openFront(() => null);
    const { open } = await openPurse("eip3009", front.at);
    const buyer = await open();
    await buy(buyer);
    expect(front.asked.map(({ paid }) => paid)).toEqual([false, true]);
    const [unpaid, paid] = front.asked.map(({ body }) => JSON.parse(body) as { id: string });
    expect(unpaid?.id).not.toBe(paid?.id);
    expect({ ...unpaid, id: "" }).toEqual({ ...paid, id: "" });
    expect(front.asked[0]?.body.length).toBe(front.asked[1]?.body.length);
    await buy(buyer);
    expect(front.asked.map(({ paid: isPaid }) => isPaid)).toEqual([false, true, true]);
    expect(new Set(front.asked.map(({ body }) => body)).size).toBe(3);
  });

  test("are sent again as they were, with the price that was listed then", async () => {
    const front = await openFront(
      (count) => (count === 1 ? new Response("", { status: 503 }) : null),
      (listing) => listing.replaceAll('"10000"', '"12000"'),
    );
    const { open } = await openPurse("eip3009", front.at);
    const key = crypto.randomUUID();
    await expect(buy(await open(), key)).rejects.toMatchObject({ code: "seller_error" });
    const buyer = await open();
    const { receipt } = await buy(buyer, key);
    const { models } = await buyer.listModels();
    expect(models.map(({ name, price }) => name === "eth-risk" && price?.amount)).toContain("12000");
    expect(receipt.core.listedPrice).toMatchObject({ amount: "10000" });
    const [first, again] = front.asked.filter(({ paid }) => paid);
    expect(again).toEqual(first);
    expect(termsHash(receipt.core)).toBe(idOf(receipt));
  });

  test("of a purchase begun before terms were bound give a receipt of format 1", async () => {
    const front = await openFront((count) => (count === 1 ? new Response("", { status: 402 }) : null));
    const { db, open } = await openPurse("eip3009", front.at);
    const key = crypto.randomUUID();
    await expect(buy(await open(), key)).rejects.toMatchObject({ money: "may-move" });
    const row = await db.selectFrom("purchases").selectAll().executeTakeFirstOrThrow();
    const request = JSON.parse(row.request) as WireRequest;
    const nonce = requestNonceOf(row.nonce);
    const body = toBase64(utf8(fromUtf8(fromBase64(request.body)).replaceAll(request.nonce, nonce)));
    await db
      .updateTable("purchases")
      .set({ salt: null, signature: null, listed_price: null, request: JSON.stringify({ ...request, nonce, body }) })
      .execute();
    const buyer = await open();
    const { receipt } = await buy(buyer, key);
    expect(receipt.version).toBe(1);
    const settled = await buyer.getReceipt(receipt.id, { waitSeconds: 120 });
    const { verdict, notProven } = newestAppraisal(settled);
    expect(verdict).toBe("verified");
    expect(notProven.join(" ")).toContain("format 1 binds the request to the authorization's nonce");
  });
});
