import { afterAll, beforeAll, expect, test } from "vitest";
import { inputOf } from "../../src/buyer/answer.ts";
import type { Buyer } from "../../src/buyer/types.ts";
import { fromBase64, fromHex, toBase64, utf8 } from "../../src/evidence/bytes.ts";
import { keyIdOfPoint, spkiOfPoint } from "../../src/evidence/oyster.ts";
import { sellerSchema } from "../../src/market/types.ts";
import { createReceipt, redactReceipt, serializeReceipt } from "../../src/receipts/receipt.ts";
import type { Receipt, ReceiptCore } from "../../src/receipts/schema.ts";
import type { OysterSignatureEvidence } from "../../src/receipts/signature-schema.ts";
import { judgeOysterSignature } from "../../src/verify/layers/oyster-signature.ts";
import { verifyReceipt } from "../../src/verify/index.ts";
import { appraisalPolicyOf } from "../../src/buyer/context.ts";
import { chatServer, type ChatServer } from "../support/chat-server.ts";
import { openMarket, type Market } from "../support/devnet.ts";
import { oysterAnswer, oysterKey } from "../support/oyster.ts";
import { hashed } from "../support/receipt-core.ts";

const KEY = oysterKey();
const HELLO = { messages: [{ role: "user", content: "Grüße 😀" }] };
let market: Market;
let server: ChatServer;
let answer = oysterAnswer(KEY.secret);
beforeAll(async () => {
  market = await openMarket({ chat: true });
  server = await chatServer(market, { paid: (request) => answer(request) });
});
afterAll(async () => {
  await server.stop();
  await market.stop();
});

/** A buyer whose only seller is the gateway, with this key pinned. */
const buyerWith = (signingKey: string): Promise<Buyer> =>
  market.buyer((config) => {
    const { chat } = market.devnet.sellers;
    const entry = { id: "oyster", provider: "marlin-oyster", origin: server.origin, payTo: [chat!.payTo] };
    config.sellers = [sellerSchema.parse({ ...entry, signingKey, models: ["llama3.2"], assurance: "signed" })];
  });

test("a chat of an enclave's gateway is verified by its pinned key, and the receipt says what that leaves open", async () => {
  answer = oysterAnswer(KEY.secret);
  const buyer = await buyerWith(`0x04${KEY.point}`);
  const bought = await buyer.buy("llama3.2", HELLO, { assurance: "signed", wait: "verified" });
  expect(bought).toMatchObject({ verdict: "verified", answer: { text: "You said: Grüße 😀", model: "llama3.2" } });
  expect(bought.appraisal).toMatchObject({ assurance: "signed", layers: { key: { code: "key_alone" } } });
  expect(bought.appraisal.layers.response.note).toBe(
    "The seller's known key signed exactly the method, the path and the bytes of this exchange.",
  );
  expect(inputOf(bought.receipt)).toEqual(HELLO);
  expect(bought.receipt.core.request.path).toBe("/api/chat-v2");
  expect(bought.receipt.core.seller.keyId).toBe(keyIdOfPoint(KEY.point));
  const limits = bought.appraisal.notProven.join(" ");
  for (const words of [
    "could be sent again",
    "Oyster's key management",
    "no hardware's document",
    "the payment, but for",
  ])
    expect(limits).toContain(words);
  const receipt = await buyer.getReceipt(bought.receipt.id);
  everyFlipIsCaught(receipt);
  await isTamperedWith(receipt);
});

/** No byte of what is signed, and none of the signature, may be another. */
function everyFlipIsCaught({ core }: Receipt): void {
  const evidence = core.evidence.find(({ kind }) => kind === "signature.oyster") as OysterSignatureEvidence;
  const key = { spki: spkiOfPoint(fromHex(KEY.point)), keyId: keyIdOfPoint(KEY.point) };
  const judge = (changed: ReceiptCore, signature = evidence): string =>
    judgeOysterSignature(changed, signature, { key, known: true }).status;
  expect(judge(core)).toBe("pass");
  for (const part of ["request", "response"] as const) {
    const body = fromBase64(core[part].body!);
    for (let at = 0; at < body.length; at += 1) {
      const turned = Uint8Array.from(body);
      turned[at] = turned[at]! ^ (1 << (at % 8));
      const changed = { ...core, [part]: { ...core[part], body: toBase64(turned) } };
      expect(judge(changed), `${part} ${at}`).toBe("fail");
    }
  }
  const { signature } = evidence;
  for (let at = 2; at < signature.length; at += 1) {
    const digit = (Number.parseInt(signature[at]!, 16) ^ 1).toString(16);
    const turned = `${signature.slice(0, at)}${digit}${signature.slice(at + 1)}` as typeof signature;
    expect(judge(core, { ...evidence, signature: turned }), `signature ${at}`).toBe("fail");
  }
  expect(judge({ ...core, request: { ...core.request, path: "/api/chat" } })).toBe("fail");
}

/** Another file of the purchase, every hash made right, is never verified. */
async function isTamperedWith(receipt: Receipt): Promise<void> {
  const made = market.config();
  const entry = { id: "oyster", provider: "marlin-oyster", origin: server.origin, assurance: "signed" };
  const { chat } = market.devnet.sellers;
  made.sellers = [sellerSchema.parse({ ...entry, payTo: [chat!.payTo], signingKey: KEY.point })];
  const policy = { ...appraisalPolicyOf(made, "signed"), reportedSuffices: true };
  const judge = async (changed: Receipt): Promise<[string, string]> => {
    const result = await verifyReceipt(serializeReceipt(changed), policy, {});
    if (!result.ok) throw new Error(result.message);
    const { verdict, layers } = result.appraisal;
    return [verdict, layers.response.code];
  };
  const retold = (change: (core: ReceiptCore) => void): Receipt => {
    const core = structuredClone(receipt.core);
    change(core);
    return { ...createReceipt(core), later: receipt.later };
  };
  const rewrite = (part: "request" | "response", from: string, to: string): Receipt =>
    retold((core) => {
      const text = Buffer.from(fromBase64(core[part].body!)).toString();
      Object.assign(core[part], hashed(utf8(text.replace(from, to))));
    });
  expect(await judge(receipt)).toEqual(["verified", "ok"]);
  expect(await judge(rewrite("response", "You said", "You paid"))).toEqual(["failed", "signature_invalid"]);
  expect(await judge(rewrite("request", "Grüße", "Gruss"))).toEqual(["failed", "signature_invalid"]);
  const other = retold((core) => {
    core.evidence = core.evidence.filter(({ kind }) => kind !== "signature.key");
    core.evidence.push({ kind: "signature.key", publicKey: toBase64(spkiOfPoint(fromHex(oysterKey().point))) });
  });
  expect((await judge(other))[0]).toBe("failed");
  const bare = retold((core) => (core.evidence = core.evidence.filter(({ kind }) => kind !== "signature.oyster")));
  expect(await judge(bare)).toEqual(["unverified", "not_signed"]);
  expect(await judge(redactReceipt(receipt, { request: true, response: false }))).toEqual([
    "unverified",
    "body_redacted",
  ]);
  const asTee = retold((core) => {
    core.evidence = core.evidence.filter(({ kind }) => kind !== "signature.oyster");
    const hash = "ab".repeat(32);
    const told = { teeId: core.seller.keyId!, requestHash: hash, outputHash: hash, timestamp: 1, signature: "AAAA" };
    core.evidence.push({ kind: "signature.tee", ...told });
  });
  expect(await judge(asTee)).toEqual(["failed", "signature_of_another_kind"]);
}

test("T132: what another key signed, or another model answered, is never verified, and the seller is on hold", async () => {
  const stranger = oysterKey();
  answer = oysterAnswer(stranger.secret);
  const first = await buyerWith(KEY.point);
  const forged = await first.buy("llama3.2", HELLO, { assurance: "signed" });
  expect(forged).toMatchObject({ verdict: "failed" });
  expect(forged.appraisal.layers.response.code).toBe("signature_invalid");
  await expect(first.buy("llama3.2", HELLO, { assurance: "signed" })).rejects.toMatchObject({ code: "seller_on_hold" });
  answer = oysterAnswer(KEY.secret, (told) => ({ ...told, model: "tiny" }));
  const other = await (await buyerWith(KEY.point)).buy("llama3.2", HELLO, { assurance: "signed" });
  expect(other.verdict).toBe("failed");
  expect(other.appraisal.layers.model.code).toBe("model_name_mismatch");
});
