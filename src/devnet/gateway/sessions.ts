import { decodePaymentSignatureHeader } from "@x402/core/http";
import { isPaymentPayloadV2 } from "@x402/core/schemas";
import { HTTPFacilitatorClient } from "@x402/core/server";
import type { PaymentPayload, PaymentRequirements } from "@x402/core/types";
import type { Address } from "viem";
import { equalBytes, sha256, toBase64, toHex, utf8 } from "../../evidence/bytes.ts";
import { canonicalSha256 } from "../../evidence/canonical.ts";

/** How a gateway is paid: `upto` by Permit2, in base units of its token. */
export type GatewayPayment = {
  network: `eip155:${number}`;
  asset: Address;
  domain: { name: string; version: string };
  payTo: Address;
  facilitatorUrl: string;
  /** The one facilitator that may settle. */
  facilitatorAddress: Address;
  /** The most that one permit may take. */
  cap: bigint;
  maxTimeoutSeconds: number;
  /** How long a permit waits for another call before it is settled, ms. */
  idleMs: number;
};

/** A permit at work: one for several calls, settled once when no more come. */
export type Session = { id: string; path: string; charge(amount: bigint): void; leave(): void };

/** What a request's payment comes to. */
export type Entry = { kind: "paid"; session: Session } | { kind: "unpaid"; response: Response };

export type Sessions = {
  /** Finds the session of a request, or opens one on its permit. */
  enter(request: Request): Promise<Entry>;
  /** Settles what is due and ends all waiting. */
  close(): Promise<void>;
};

type Open = {
  id: string;
  path: string;
  payload: PaymentPayload;
  spent: bigint;
  active: number;
  timer: NodeJS.Timeout | null;
  /** Set once it takes no more calls. */
  settled: Promise<void> | null;
};

/** Sessions as OpenGradient's fork of x402 keeps them: by id or by the payment's header, bound to method and path. */
export function createSessions(payment: GatewayPayment): Sessions {
  const { network, asset, domain, payTo, cap, maxTimeoutSeconds, facilitatorAddress } = payment;
  const facilitator = new HTTPFacilitatorClient({ url: payment.facilitatorUrl });
  const offer: PaymentRequirements = {
    scheme: "upto",
    network,
    amount: String(cap),
    asset,
    payTo,
    maxTimeoutSeconds,
    extra: { ...domain, assetTransferMethod: "permit2", facilitatorAddress },
  };
  const byId = new Map<string, Open>();
  const byHeader = new Map<string, Open>();

  const ask = (url: string, error: string): Entry => {
    const resource = { url, description: "OpenGradient LLM inference", mimeType: "application/json" };
    const required = { x402Version: 2, error, resource, accepts: [offer], extensions: {} };
    const headers = { "payment-required": toBase64(utf8(JSON.stringify(required))) };
    return { kind: "unpaid", response: Response.json({ error }, { status: 402, headers }) };
  };

  const settle = (open: Open): Promise<void> =>
    (open.settled ??= (async () => {
      if (open.timer !== null) clearTimeout(open.timer);
      if (open.spent === 0n) {
        // The permit is unused: shown again, it opens another session.
        byId.delete(open.id);
        for (const [header, one] of byHeader) if (one === open) byHeader.delete(header);
        return;
      }
      await facilitator.settle(open.payload, { ...offer, amount: String(open.spent) }).catch(() => undefined);
    })());

  const take = (open: Open): Entry => {
    open.active += 1;
    if (open.timer !== null) clearTimeout(open.timer);
    open.timer = null;
    let left = false;
    const leave = (): void => {
      if (left) return;
      left = true;
      open.active -= 1;
      if (open.active > 0) return;
      if (open.spent >= cap) void settle(open);
      else open.timer = setTimeout(() => void settle(open), payment.idleMs);
    };
    const charge = (amount: bigint): void => {
      const spent = open.spent + amount;
      open.spent = spent > cap ? cap : spent;
    };
    return { kind: "paid", session: { id: open.id, path: open.path, charge, leave } };
  };

  return {
    async enter(request) {
      const { pathname } = new URL(request.url);
      const path = `${request.method} ${pathname}`;
      const header = request.headers.get("payment-signature") ?? request.headers.get("x-payment");
      const id = request.headers.get("x-upto-session");
      const named = id === null ? undefined : byId.get(id);
      const known = named ?? (header === null ? undefined : byHeader.get(keyOf(header)));
      const isOpen = known !== undefined && known.settled === null && known.spent < cap;
      if (known !== undefined && known.path === path && isOpen) return take(known);
      if (known !== undefined || (id !== null && header === null))
        return ask(request.url, "Session expired or exhausted");
      if (header === null) return ask(request.url, "Payment required");
      const payload = readPayload(header);
      if (payload === null || !isFor(payload, offer)) return ask(request.url, "Invalid payment");
      const judged = await facilitator.verify(payload, offer).catch(() => null);
      if (judged?.isValid !== true) return ask(request.url, judged?.invalidReason ?? "Payment verification failed");
      // Another request with the same permit may have opened it meanwhile.
      const raced = byHeader.get(keyOf(header));
      if (raced !== undefined) return take(raced);
      const open: Open = { id: crypto.randomUUID(), path, payload, spent: 0n, active: 0, timer: null, settled: null };
      byId.set(open.id, open);
      byHeader.set(keyOf(header), open);
      return take(open);
    },
    async close() {
      await Promise.all([...byId.values()].map(settle));
    },
  };
}

const keyOf = (header: string): string => toHex(sha256(utf8(header)));

function readPayload(header: string): PaymentPayload | null {
  try {
    const payload = decodePaymentSignatureHeader(header);
    return isPaymentPayloadV2(payload) ? payload : null;
  } catch {
    return null;
  }
}

const isFor = ({ accepted }: PaymentPayload, offer: PaymentRequirements): boolean =>
  equalBytes(canonicalSha256(accepted), canonicalSha256(offer));
