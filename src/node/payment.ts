import type { PaymentPayload, PaymentRequirements } from "@x402/core/types";
import type { FacilitatorRequest } from "./cdp-token.ts";
import type { PaymentMethod } from "../evidence/methods/methods.ts";
import type { Hex } from "../evidence/bytes.ts";

/** How a node is paid. Prices in base units of its token. */
export type NodePayment = {
  network: `eip155:${number}`;
  asset: Hex;
  /** The token's EIP-712 domain. */
  domain: { name: string; version: string };
  payTo: Hex;
  facilitatorUrl: string;
  /** Sent to the facilitator as a bearer token (RFC 6750): one for all requests, or made for each (`cdpTokens`). */
  facilitatorToken?: string | ((request: FacilitatorRequest) => string) | undefined;
  /** Longest time from signature to settlement, seconds. */
  maxTimeoutSeconds?: number;
  /** Ways to pay that are offered, in this order; EIP-3009 alone by default. */
  methods?: readonly PaymentMethod[];
  /**
   * For payment by vouchers: the key that authorizes claims, the same after a restart, and how often they are made: a third of
   * `WITHDRAW_DELAY_SECONDS` at the longest. The vouchers are kept in the node's records: name a file there.
   */
  channels?: { authorizerKey: Hex; claimSeconds: number };
  /** Other tokens taken, at `rate` base units of theirs for one base unit of the first. */
  also?: readonly { asset: Hex; domain: { name: string; version: string }; rate: bigint }[];
  /**
   * Where the chain is read when the facilitator's answer is lost, or says that the payment was made already. A facilitator on
   * this machine may name one. Without any, only the facilitator's word counts.
   */
  rpcUrl?: string | undefined;
  /** Blocks on top of a payment before its answer goes out; 0, the default, takes the facilitator's word. Needs `rpcUrl`. */
  confirmations?: number | undefined;
  /**
   * How long a request waits for its payment to be decided, seconds; 20 by default. It can be asked for again after that.
   * With `sharedPayee` it waits for the facilitator's answer, too: up to 30 seconds, or this time if it is longer.
   */
  waitSeconds?: number | undefined;
  /**
   * True where payments to `payTo` are for this node and those it shares its records' database with, for nothing else. Then
   * each payment on the chain counts, also one made before the node was asked.
   */
  ownPayee?: boolean | undefined;
  /**
   * True where another service is paid at `payTo`, too. The chain does not name a payment's purpose, so a payment counts only
   * if this node had it made. The facilitator says so, or names this node the transaction. Or its answer is lost to this
   * node, and the payment was unused before. Any other payment is refused, and the payer is told to ask the operator.
   *
   * Two limits: another service may have had a payment made in the moment of a lost answer, and a facilitator may say yes to
   * two services.
   *
   * Without it a payment counts that the chain shows once this node found it unused, by any submitter. Then one payment may
   * buy at each service of a payee. Counts before `ownPayee`.
   */
  sharedPayee?: boolean | undefined;
};

/** A payment and the requirements that it meets. */
export type Payment = { payload: PaymentPayload; terms: PaymentRequirements };
