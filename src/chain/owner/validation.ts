import { Proof402Error } from "../../errors.ts";
import { earlierFor, sendOwnerCall, takeUp, type Owner } from "./send.ts";
import { noteTold, subjectOf } from "./transactions.ts";
import { VALIDATION_REGISTRY_ABI } from "./validation-calls.ts";
import { lowered, type Address, type Hex } from "../../evidence/bytes.ts";
import type { ChainClient } from "../client.ts";
import { isRevert, RpcFault } from "../rpc.ts";

/** What a registry says of a validation. `lastUpdate` is unix seconds. */
export type ValidationStatus = {
  validator: Address;
  agentId: bigint;
  response: number;
  responseHash: Hex;
  tag: string;
  lastUpdate: number;
};

/** A verdict to post: 100 where the receipt verified, 0 where it failed. */
export type Posting = {
  registry: Address;
  agentId: bigint;
  uri: string;
  requestHash: Hex;
  response: 0 | 100;
  responseHash: Hex;
  tag: string;
};

/**
 * A posted verdict: its transaction, the gas and cost in wei of all transactions sent for it, and the registry's
 * present entry.
 */
export type Posted = {
  requestTransaction: Hex | null;
  transaction: Hex;
  gasUsed: bigint;
  cost: bigint;
  /** True where an earlier command signed it, and none was sent now. */
  earlier: boolean;
  status: ValidationStatus;
};

/**
 * Posts a verdict from the wallet as validator: opens the request if it is missing, answers it, and reads the answer
 * back. Costs gas and moves no money otherwise.
 *
 * Throws Proof402Error `validation_taken` where the request names another validator or agent, `registry_missing` where no
 * registry answers, `transaction_failed` where the chain turned it down, `posting_not_kept` where the registry then says
 * something else, and what {@link sendOwnerCall} throws.
 */
export async function postValidation(owner: Owner, posting: Posting): Promise<Posted> {
  const { db, chain, wallet } = owner;
  const { registry, agentId, uri, requestHash, response, responseHash, tag } = posting;
  const validator = wallet.address;
  const status = (): Promise<ValidationStatus | null> =>
    chain.read((client) => readStatus(client, registry, requestHash));
  const request = { kind: "validation-request", registry, validator, agentId, uri, requestHash } as const;
  const answer = { kind: "validation-response", registry, requestHash, response, uri, responseHash, tag } as const;
  const earlier = await earlierFor(owner, answer, await takeUp(owner, [subjectOf(answer, chain.network)]));
  const before = await status();
  if (before !== null && (before.validator !== validator || before.agentId !== agentId)) {
    throw new Proof402Error(
      "validation_taken",
      `The registry has this receipt for validator ${before.validator} and agent ${before.agentId}.`,
      { next: "Only that validator can post a verdict on it." },
    );
  }
  const opened = earlier === null && before === null ? await sendOwnerCall(owner, request) : null;
  const posted = earlier ?? (await sendOwnerCall(owner, answer));
  const after = await status();
  for (const sent of [opened, posted]) if (sent !== null) await noteTold(db, sent.transaction);
  const kept =
    after?.validator === validator &&
    after.agentId === agentId &&
    after.response === response &&
    after.responseHash === responseHash &&
    after.tag === tag;
  if (!kept) {
    throw new Proof402Error("posting_not_kept", "The registry does not say what was posted to it.", {
      next: `Look at transaction ${posted.transaction}; do not rely on this registry.`,
    });
  }
  return {
    requestTransaction: opened?.transaction ?? null,
    transaction: posted.transaction,
    gasUsed: posted.gasUsed + (opened?.gasUsed ?? 0n),
    cost: posted.cost + (opened?.cost ?? 0n),
    earlier: posted.earlier,
    status: after,
  };
}

/** Reads the registry's entry of a request, null if there is none: the standard lets it revert or answer zero. */
async function readStatus(client: ChainClient, registry: Address, requestHash: Hex): Promise<ValidationStatus | null> {
  try {
    const [validator, agentId, response, responseHash, tag, lastUpdate] = await client.readContract({
      address: registry,
      abi: VALIDATION_REGISTRY_ABI,
      functionName: "getValidationStatus",
      args: [requestHash],
    });
    if (/^0x0{40}$/.test(validator)) return null;
    return {
      validator: lowered(validator),
      agentId,
      response,
      responseHash: lowered(responseHash),
      tag,
      lastUpdate: Number(lastUpdate),
    };
  } catch (error) {
    if (isRevert(error)) return null;
    if (!(error instanceof RpcFault) || error.kind !== "empty") throw error;
    throw new Proof402Error("registry_missing", "There is no validation registry at the configured address.", {
      next: "Correct validationRegistry in the configuration.",
      cause: error,
    });
  }
}
