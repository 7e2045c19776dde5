import { privateKeyToAccount } from "viem/accounts";
import type { ManifestEntry } from "../../src/evidence/attestation.ts";
import { addressWord, AUTHORIZATION_USED_TOPIC, TRANSFER_TOPIC } from "../../src/evidence/eip3009.ts";
import { signingHash } from "../../src/evidence/methods/methods.ts";
import { NEVER } from "../../src/evidence/methods/voucher.ts";
import {
  fromHex,
  keccak256,
  sha256,
  toBase64,
  toHex,
  toHex0x,
  uint256,
  utf8,
  lowered,
  type Bytes,
  type Hex,
} from "../../src/evidence/bytes.ts";
import { canonicalJson, canonicalSha256 } from "../../src/evidence/canonical.ts";
import { requestNonceOf, termsHash } from "../../src/evidence/payment-binding.ts";
import { teeMessageHash } from "../../src/evidence/tee-signature.ts";
import { createSimulatedEnclave, createSimulatedRoot, type Enclave, type SimulatedRoot } from "../../src/node/index.ts";
import { settleCall } from "./settle-call.ts";
import { createReceipt } from "../../src/receipts/receipt.ts";
import type { Payment, Receipt, SettlementEvidence } from "../../src/receipts/schema.ts";
import { appraisalPolicySchema, type AppraisalPolicy } from "../../src/verify/policy.ts";

/** A complete receipt under a simulated root, the policy that accepts it, and when it was bought. */
export type Fixture = { receipt: Receipt; policy: AppraisalPolicy; evaluateAt: Date };

/** The model that is bought. */
export const MODEL = "eth-risk";
const MODEL_DIGEST = "5a".repeat(32);
const account = privateKeyToAccount(`0x${"a1".repeat(32)}`);
const PAYER = lowered(account.address);
const [PAYEE, TOKEN, FACILITATOR] = [`0x${"b2".repeat(20)}`, `0x${"c3".repeat(20)}`, `0x${"fa".repeat(20)}`] as const;
const NETWORK = "eip155:31337";
const CHANNEL = { receiverAuthorizer: `0x${"ce".repeat(20)}`, withdrawDelay: 900 } as const;

const exchange = (text: string) => {
  const bytes = utf8(text);
  return { sha256: toHex(sha256(bytes)), keccak256: toHex(keccak256(bytes)), body: toBase64(bytes) };
};

/** What a seller with a genuine key may do wrong. What is left out is as it should be. */
export type FixtureChanges = {
  /** Paid in another way than by EIP-3009; upto settles 7000 of the 10000 base units signed. */
  method?: "permit2" | "upto" | "voucher";
  /** Of format 1, whose request names the authorization and not its terms. */
  format?: 1;
  /** The payer's signature stands in it, too. */
  signed?: true;
  /** The request's text. */
  request?: (nonce: string) => string;
  /** The answer's text, to these bytes. */
  response?: (nonce: string, request: Uint8Array) => string | Promise<string>;
  /** The root and the enclave that it is bought under, and the attestation if it is of an earlier purchase. */
  under?: { root: SimulatedRoot; enclave: Enclave; attested?: { nonce: Bytes; document: Bytes } };
  /** SHA-256 of the model file behind the name, hex. */
  modelSha256?: string;
  status?: number;
  /** The DER of the TLS certificate that the document names, and of the one that the buyer saw. */
  tls?: { named?: Uint8Array; seen?: Uint8Array };
  /** How far the signed time is from the time of the request, seconds. */
  signedAfter?: number;
};

const askedOf = (nonce: string): string =>
  JSON.stringify({ id: nonce, inputs: [{ name: "features", shape: [1, 2], datatype: "FP32", data: [1, 2] }] });
const answerOf = (nonce: string): string =>
  JSON.stringify({
    model_name: MODEL,
    id: nonce,
    outputs: [{ name: "class", shape: [1], datatype: "INT64", data: [1] }],
  });

/** Everything real but the money: certificates, document and signature are made here and now. */
export async function makeFixture(changes: FixtureChanges = {}): Promise<Fixture> {
  const modelDigest = changes.modelSha256 ?? MODEL_DIGEST;
  const root = changes.under?.root ?? (await createSimulatedRoot());
  const { named, seen } = changes.tls ?? {};
  const tls = named === undefined ? {} : { tlsCertificate: named };
  const enclave = changes.under?.enclave ?? (await createSimulatedEnclave({ root, ...tls }));
  const manifest = canonicalJson([{ name: MODEL, sha256: modelDigest }] satisfies ManifestEntry[]);
  await enclave.measureModels(manifest);
  const attestationNonce = changes.under?.attested?.nonce ?? crypto.getRandomValues(new Uint8Array(20));
  const document = changes.under?.attested?.document ?? (await enclave.attest(attestationNonce));
  const now = new Date();
  const seconds = Math.floor(now.getTime() / 1000);
  const timestamp = seconds + (changes.signedAfter ?? 0);
  const authorizationNonce = toHex0x(crypto.getRandomValues(new Uint8Array(32)));
  const { method } = changes;
  const bareOffer = {
    scheme: method === "upto" ? "upto" : method === "voucher" ? "batch-settlement" : "exact",
    network: NETWORK,
    asset: TOKEN,
    decimals: 6,
    amount: "10000",
    payTo: PAYEE,
    maxTimeoutSeconds: 120,
    extra: {
      name: "USD Coin",
      version: "2",
      ...(method === undefined || method === "voucher"
        ? {}
        : { assetTransferMethod: "permit2", facilitatorAddress: FACILITATOR }),
      ...(method === "voucher" ? CHANNEL : {}),
    },
  };
  const offer = { ...bareOffer, offerHash: toHex(canonicalSha256(bareOffer)) };
  const bound = changes.format !== 1;
  const terms = {
    network: NETWORK,
    asset: TOKEN,
    amount: "10000",
    payer: PAYER,
    payTo: PAYEE,
    nonce: authorizationNonce,
    validAfter: 0,
    validBefore: method === "voucher" ? NEVER : seconds + 120,
    ...(bound ? { salt: toHex0x(crypto.getRandomValues(new Uint8Array(32))) } : {}),
  };
  const authorized = {
    eip3009: { scheme: "exact", method: "eip3009", ...terms },
    permit2: { scheme: "exact", method: "permit2", ...terms },
    upto: { scheme: "upto", method: "permit2", ...terms, facilitator: FACILITATOR },
    voucher: {
      scheme: "batch-settlement",
      method: "voucher",
      ...terms,
      ...(bound ? { previous: "30000" } : {}),
      cumulative: "40000",
      channel: { payerAuthorizer: PAYER, salt: `0x${"5a".repeat(32)}`, ...CHANNEL },
    },
  } as const;
  const authorization = authorized[method ?? "eip3009"];
  const authorizationHash = signingHash(authorization, { name: "USD Coin", version: "2" });
  const payment: Payment = {
    ...authorization,
    ...(method === "voucher" ? { nonce: authorizationHash } : {}),
    authorizationHash,
  };
  const listedPrice = { network: NETWORK, asset: TOKEN, amount: "10000" };
  const nonce = bound ? termsHash({ offer, listedPrice, payment }) : requestNonceOf(payment.nonce);
  const asked = (changes.request ?? askedOf)(nonce);
  const request = exchange(asked);
  const response = exchange(await (changes.response ?? answerOf)(nonce, utf8(asked)));
  const signature = await enclave.sign(
    teeMessageHash({
      requestHash: fromHex(request.keccak256),
      outputHash: fromHex(response.keccak256),
      timestamp,
    }),
  );
  const receipt = createReceipt({
    seller: { id: "fixture", provider: "oip", origin: "https://seller.example", keyId: enclave.keyId },
    request: {
      method: "POST",
      path: `/v2/models/${MODEL}/infer`,
      model: MODEL,
      nonce,
      sentAt: now.toISOString(),
      ...request,
    },
    response: { status: changes.status ?? 200, receivedAt: new Date(now.getTime() + 50).toISOString(), ...response },
    offer,
    payment,
    ...(bound ? { listedPrice } : {}),
    evidence: [
      {
        kind: "tee.nitro",
        document: toBase64(document),
        nonce: toHex(attestationNonce),
        publicKey: toBase64(enclave.publicKey),
        fetchedAt: now.toISOString(),
      },
      { kind: "model.manifest", manifest: toBase64(manifest) },
      ...(seen === undefined ? [] : [{ kind: "tls.peer" as const, certificateSha256: toHex(sha256(seen)) }]),
      {
        kind: "signature.tee",
        teeId: enclave.keyId,
        requestHash: request.keccak256,
        outputHash: response.keccak256,
        timestamp,
        signature: toBase64(signature),
      },
    ],
  });
  const log = (topics: Hex[], data: Hex, logIndex: number) => ({ address: TOKEN, topics, data, logIndex });
  const settled: SettlementEvidence = {
    kind: "settlement.x402" as const,
    network: NETWORK,
    outcome: "settled" as const,
    transaction: `0x${"d4".repeat(32)}`,
    blockNumber: "7",
    blockHash: `0x${"e5".repeat(32)}`,
    blockTime: seconds + 1,
    logs: [
      ...(method === undefined
        ? [log([AUTHORIZATION_USED_TOPIC, toHex0x(addressWord(PAYER)), authorizationNonce], "0x", 0)]
        : []),
      log(
        [TRANSFER_TOPIC, toHex0x(addressWord(PAYER)), toHex0x(addressWord(PAYEE))],
        toHex0x(uint256(method === "upto" ? 7000 : 10_000)),
        1,
      ),
    ],
    ...(payment.method === "permit2" ? await settleCall(payment, account, 7000n) : {}),
  };
  const { transaction: _none, ...block } = settled;
  const settlement: SettlementEvidence =
    method === "voucher" ? { ...block, logs: [], channel: { balance: "90000", totalClaimed: "60000" } } : settled;
  const shown = changes.signed === true ? { signature: await account.sign({ hash: authorizationHash }) } : {};
  const at = new Date(now.getTime() + 2000).toISOString();
  return {
    receipt: {
      ...receipt,
      later: [{ at, evidence: { ...settlement, ...shown } }],
    },
    policy: appraisalPolicySchema.parse({
      simulatedRoots: [root.sha256],
      sellers: {
        fixture: {
          measurements: [enclave.measurements()],
          models: { [MODEL]: modelDigest },
          origin: "https://seller.example",
          provider: "oip",
          payees: [PAYEE],
          facilitators: [FACILITATOR],
          channel: { receiverAuthorizer: CHANNEL.receiverAuthorizer, withdrawDelaySeconds: CHANNEL.withdrawDelay },
        },
      },
      assets: [{ network: NETWORK, asset: TOKEN, decimals: 6, domain: { name: "USD Coin", version: "2" } }],
      // What is tested with it is mostly the rest; what a file tells of the chain has tests of its own.
      reportedSuffices: true,
    }),
    evaluateAt: new Date(receipt.core.response.receivedAt),
  };
}
