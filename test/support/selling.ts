import { decodePaymentRequiredHeader } from "@x402/core/http";
import type { PaymentRequirements } from "@x402/core/types";
import { createWalletClient, http, parseSignature, type Hex } from "viem";
import { privateKeyToAccount, type PrivateKeyAccount } from "viem/accounts";
import { foundry } from "viem/chains";
import { devUsd } from "../../src/devnet/contracts/dev-usd.artifact.ts";
import { serveLocally, type Served } from "../../src/devnet/index.ts";
import { createInferenceNode, type InferenceNodeOptions, type NodePayment } from "../../src/node/index.ts";
import { argumentsOf, newAccount, signAs, type Authorization } from "../devnet/authorizations.ts";
import { ETH_FEATURES, type Market } from "./devnet.ts";
import { gate, type Gate } from "./gate.ts";

type NodeFetch = (request: Request) => Promise<Response>;

/** A node of its own behind a socket. */
export type OwnSeller = { origin: string; payTo: Hex; stop(): Promise<void> };

/** Opens a node that is paid by the market's token. */
export async function openSeller(
  market: Market,
  {
    through = (fetch) => fetch,
    ...options
  }: Partial<Omit<InferenceNodeOptions, "payment">> & {
    payment?: Partial<NodePayment>;
    /** Stands between the node and its socket. */
    through?: (fetch: NodeFetch) => NodeFetch;
  } = {},
): Promise<OwnSeller> {
  const { devnet } = market;
  const payTo = options.payment?.payTo ?? newAccount().address;
  const node = await createInferenceNode({
    models: [{ name: "eth-risk", price: "10000" }],
    enclave: null,
    ...options,
    payment: {
      network: `eip155:${devnet.chainId}`,
      asset: devnet.token,
      domain: { name: devnet.bank.token.name, version: devnet.bank.token.version },
      payTo,
      facilitatorUrl: devnet.facilitatorUrl,
      rpcUrl: devnet.rpcUrl,
      ...options.payment,
    },
  });
  const served = await serveLocally(through((request) => node.fetch(request)));
  const stop = async (): Promise<void> => {
    await served.stop();
    await node.close();
  };
  return { origin: served.origin, payTo, stop };
}

/** The same behind a facilitator of its own, whose answers `hooks` change. */
export async function openSellerBehind(
  market: Market,
  hooks: Parameters<typeof facilitatorWith>[1],
  options: NonNullable<Parameters<typeof openSeller>[1]> = {},
): Promise<OwnSeller> {
  const facilitator = await facilitatorWith(market, hooks);
  const one = await openSeller(market, {
    ...options,
    payment: { facilitatorUrl: facilitator.origin, ...options.payment },
  });
  const stop = async (): Promise<void> => void (await Promise.all([one.stop(), facilitator.stop()]));
  return { ...one, stop };
}

/** The devnet's facilitator, with something done before or after it settles or verifies. */
export function facilitatorWith(
  market: Market,
  hooks: Partial<Record<"/settle" | "/verify", (honest: () => Promise<Response>) => Promise<Response>>>,
): Promise<Served> {
  return serveLocally(async (request) => {
    const { pathname } = new URL(request.url);
    const body = request.method === "POST" ? { body: await request.text() } : {};
    const honest = async (): Promise<Response> => {
      const headers = { "content-type": "application/json" };
      const answer = await fetch(`${market.devnet.facilitatorUrl}${pathname}`, {
        method: request.method,
        headers,
        ...body,
      });
      return new Response(await answer.text(), { status: answer.status, headers });
    };
    const hook = pathname === "/settle" || pathname === "/verify" ? hooks[pathname] : undefined;
    return hook === undefined ? honest() : hook(honest);
  });
}

/** The same, which settles nothing until it is released. */
export async function holdSettling(market: Market): Promise<{ facilitator: Served; settling: Gate; released: Gate }> {
  const [settling, released] = [gate(), gate()];
  const facilitator = await facilitatorWith(market, {
    "/settle": async (honest) => {
      settling.open();
      await released.opened;
      return honest();
    },
  });
  return { facilitator, settling, released };
}

/** A payer with money, one signed payment of its own, and ways to use it. */
export type Purse = {
  account: PrivateKeyAccount;
  authorization: Authorization;
  signature: Hex;
  header: string;
  /** Posts a body with the payment, to its seller or to another place. */
  post(body?: string, at?: string): Promise<Answered>;
  /** Has the payment made by another than the facilitator. To another payee its nonce is used up for nothing. */
  redeem(to?: Hex): Promise<void>;
  /** Takes the payment back before it is made. */
  cancel(): Promise<void>;
};
export type Answered = { status: number; text: string; payment: string | null };

/** An inference request, each number another. */
export const requestOf = (n = 0): string =>
  JSON.stringify({
    id: String(n).padStart(32, "0"),
    inputs: [
      {
        name: "features",
        shape: [1, 8],
        datatype: "FP32",
        data: ETH_FEATURES.features.map((x, at) => (at === 0 ? x + n / 1000 : x)),
      },
    ],
  });

const INFER = "/v2/models/eth-risk/infer";

/** Posts a body with a payment. */
export async function postPaid(origin: string, header: string, body = requestOf()): Promise<Answered> {
  const headers = { "content-type": "application/json", "payment-signature": header };
  const response = await fetch(`${origin}${INFER}`, { method: "POST", headers, body });
  return { status: response.status, text: await response.text(), payment: response.headers.get("payment-response") };
}

/** The offers of a seller, in its order. */
export async function offersOf(origin: string): Promise<PaymentRequirements[]> {
  const unpaid = await fetch(`${origin}${INFER}`, { method: "POST", body: requestOf() });
  return decodePaymentRequiredHeader(unpaid.headers.get("payment-required") ?? "").accepts;
}

/** A payment as its header, with its parts changed. */
export function changed(
  header: string,
  change: (payment: { accepted: Record<string, unknown>; payload: Record<string, unknown> }) => void,
): string {
  const payment = JSON.parse(Buffer.from(header, "base64").toString()) as Parameters<typeof change>[0];
  change(payment);
  return Buffer.from(JSON.stringify(payment)).toString("base64");
}

/** A payment of what the seller asks, by an account with so many base units more; a fresh one by default. */
export async function purseFor(
  market: Market,
  origin: string,
  {
    funds = 1_000_000n,
    account = newAccount(),
    request = requestOf(),
  }: { funds?: bigint; account?: PrivateKeyAccount; request?: string } = {},
): Promise<Purse> {
  const { devnet } = market;
  if (funds > 0n) await devnet.bank.token.mint(account.address, funds);
  await devnet.bank.fund(account.address);
  const unpaid = await fetch(`${origin}${INFER}`, { method: "POST", body: request });
  const [accepted] = decodePaymentRequiredHeader(unpaid.headers.get("payment-required") ?? "").accepts;
  if (accepted === undefined) throw new Error("the seller asks for nothing");
  const head = await devnet.bank.client.getBlock();
  const authorization: Authorization = {
    from: account.address,
    to: accepted.payTo as Hex,
    value: BigInt(accepted.amount),
    validAfter: 0n,
    validBefore: head.timestamp + 100n,
    nonce: `0x${Buffer.from(crypto.getRandomValues(new Uint8Array(32))).toString("hex")}`,
  };
  const signature = await signAs(account, devnet.bank.token, "TransferWithAuthorization", authorization);
  const { value, validAfter, validBefore, ...rest } = authorization;
  const wire = { ...rest, value: String(value), validAfter: String(validAfter), validBefore: String(validBefore) };
  const payload = { x402Version: 2, accepted, payload: { signature, authorization: wire } };
  const header = Buffer.from(JSON.stringify(payload)).toString("base64");
  const wallet = createWalletClient({ account, chain: foundry, transport: http(devnet.rpcUrl) });
  const mined = async (hash: Hex): Promise<void> => void (await devnet.bank.client.waitForTransactionReceipt({ hash }));
  return {
    account,
    authorization,
    signature,
    header,
    post: (body = requestOf(), at = origin) => postPaid(at, header, body),
    async redeem(to = authorization.to) {
      const relayer = privateKeyToAccount(await devnet.bank.fundedKey());
      const made = { ...authorization, to };
      const signed = await signAs(account, devnet.bank.token, "TransferWithAuthorization", made);
      const hash = await createWalletClient({
        account: relayer,
        chain: foundry,
        transport: http(devnet.rpcUrl),
      }).writeContract({
        address: devnet.token,
        abi: devUsd.abi,
        functionName: "transferWithAuthorization",
        args: [...argumentsOf(made), signed],
        gas: 300_000n,
      });
      await mined(hash);
    },
    async cancel() {
      const { name, version, address } = devnet.bank.token;
      const domain = { name, version, chainId: devnet.chainId, verifyingContract: address };
      const types = {
        CancelAuthorization: [
          { name: "authorizer", type: "address" },
          { name: "nonce", type: "bytes32" },
        ],
      } as const;
      const message = { authorizer: account.address, nonce: authorization.nonce };
      const cancellation = await account.signTypedData({ domain, types, primaryType: "CancelAuthorization", message });
      const { v = 27n, r, s } = parseSignature(cancellation);
      const hash = await wallet.writeContract({
        address: devnet.token,
        abi: devUsd.abi,
        functionName: "cancelAuthorization",
        args: [account.address, authorization.nonce, Number(v), r, s],
      });
      await mined(hash);
    },
  };
}

/** What the payee of a seller holds, base units. */
export const takenBy = (market: Market, { payTo }: OwnSeller): Promise<bigint> => market.devnet.balanceOf(payTo);

/** Whether the chain took a purse's authorization. */
export const isUsed = (market: Market, { account, authorization }: Purse): Promise<boolean> =>
  market.devnet.bank.client.readContract({
    address: market.devnet.token,
    abi: devUsd.abi,
    functionName: "authorizationState",
    args: [account.address, authorization.nonce],
  });
