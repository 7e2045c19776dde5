import type { PublicClient } from "viem";
import { Proof402Error } from "../errors.ts";
import type { Chain } from "./chain.ts";
import { sendCall, type Call } from "./transaction.ts";
import type { Wallet } from "./wallet.ts";

/** The Validation Registry of ERC-8004 as it is since its tag is a text (erc-8004-contracts 2). */
export const VALIDATION_REGISTRY_ABI = [
  {
    type: "function",
    name: "validationRequest",
    stateMutability: "nonpayable",
    inputs: [
      { name: "validatorAddress", type: "address" },
      { name: "agentId", type: "uint256" },
      { name: "requestURI", type: "string" },
      { name: "requestHash", type: "bytes32" },
    ],
    outputs: [],
  },
  {
    type: "function",
    name: "validationResponse",
    stateMutability: "nonpayable",
    inputs: [
      { name: "requestHash", type: "bytes32" },
      { name: "response", type: "uint8" },
      { name: "responseURI", type: "string" },
      { name: "responseHash", type: "bytes32" },
      { name: "tag", type: "string" },
    ],
    outputs: [],
  },
  {
    type: "function",
    name: "getValidationStatus",
    stateMutability: "view",
    inputs: [{ name: "requestHash", type: "bytes32" }],
    outputs: [
      { name: "validatorAddress", type: "address" },
      { name: "agentId", type: "uint256" },
      { name: "response", type: "uint8" },
      { name: "responseHash", type: "bytes32" },
      { name: "tag", type: "string" },
      { name: "lastUpdate", type: "uint256" },
    ],
  },
] as const;

type Hex = `0x${string}`;

/** One of the registry's two writes, and nothing else. */
export type ValidationCall =
  | { write: "request"; registry: Hex; validator: Hex; agentId: bigint; uri: string; requestHash: Hex }
  | {
      write: "response";
      registry: Hex;
      requestHash: Hex;
      response: 0 | 100;
      uri: string;
      responseHash: Hex;
      tag: string;
    };

/** The call of a registry's write. */
export async function encodeValidation(call: ValidationCall): Promise<Call> {
  const { encodeFunctionData } = await import("viem");
  const abi = VALIDATION_REGISTRY_ABI;
  const data =
    call.write === "request"
      ? encodeFunctionData({
          abi,
          functionName: "validationRequest",
          args: [call.validator, call.agentId, call.uri, call.requestHash],
        })
      : encodeFunctionData({
          abi,
          functionName: "validationResponse",
          args: [call.requestHash, call.response, call.uri, call.responseHash, call.tag],
        });
  return { to: call.registry, data };
}

/** What a registry says of a validation. `lastUpdate` is unix seconds. */
export type ValidationStatus = {
  validator: string;
  agentId: bigint;
  response: number;
  responseHash: string;
  tag: string;
  lastUpdate: number;
};

/** A verdict to post: 100 where the receipt verified, 0 where it failed. */
export type Posting = {
  registry: string;
  agentId: bigint;
  uri: string;
  requestHash: string;
  response: 0 | 100;
  responseHash: string;
  tag: string;
};

/** A posted verdict: the transaction that carries it, the gas of all that were needed, and what the registry says now. */
export type Posted = {
  requestTransaction: string | null;
  transaction: string;
  gasUsed: bigint;
  status: ValidationStatus;
};

/**
 * Posts a verdict from the wallet, which is its validator: asks for the validation where nobody has, answers it, and reads
 * the answer back. Costs gas and moves no money otherwise.
 *
 * Throws Proof402Error `validation_taken` where the request names another validator or agent, `registry_missing` where no
 * registry answers, `posting_failed` where the chain turned it down, `posting_not_kept` where the registry then says
 * something else, `wrong_chain` or `chain_unreachable`.
 */
export function postValidation(chain: Chain, wallet: Wallet, posting: Posting): Promise<Posted> {
  const [registry, validator] = [hex(posting.registry), hex(wallet.address)];
  const [requestHash, responseHash] = [hex(posting.requestHash), hex(posting.responseHash)];
  const { agentId, uri, response, tag } = posting;
  return chain.read(async (client) => {
    const send = async (call: ValidationCall): Promise<{ hash: string; gasUsed: bigint }> => {
      const receipt = await sendCall(client, {
        from: validator,
        call: await encodeValidation(call),
        sign: (fees) => wallet.signValidation(call, fees),
        failed: postingFailed,
      });
      return { hash: receipt.transactionHash, gasUsed: receipt.gasUsed };
    };
    const before = await readStatus(client, registry, requestHash);
    if (before !== null && (before.validator !== validator || before.agentId !== agentId)) {
      throw new Proof402Error(
        "validation_taken",
        `The registry has this receipt for validator ${before.validator} and agent ${before.agentId}.`,
        { next: "Only that validator can post a verdict on it." },
      );
    }
    const request =
      before === null ? await send({ write: "request", registry, validator, agentId, uri, requestHash }) : null;
    const answer = await send({ write: "response", registry, requestHash, response, uri, responseHash, tag });
    const status = await readStatus(client, registry, requestHash);
    const kept =
      status?.validator === validator &&
      status.agentId === agentId &&
      status.response === response &&
      status.responseHash === responseHash &&
      status.tag === tag;
    if (!kept) {
      throw new Proof402Error("posting_not_kept", "The registry does not say what was posted to it.", {
        next: `Look at transaction ${answer.hash}; do not rely on this registry.`,
      });
    }
    return {
      requestTransaction: request?.hash ?? null,
      transaction: answer.hash,
      gasUsed: answer.gasUsed + (request?.gasUsed ?? 0n),
      status,
    };
  });
}

/** What the registry says of a request, or null where nobody asked for it: the standard lets it revert or answer zero. */
async function readStatus(client: PublicClient, registry: Hex, requestHash: Hex): Promise<ValidationStatus | null> {
  const { BaseError } = await import("viem");
  const named = (error: unknown, name: string): boolean =>
    error instanceof BaseError && error.walk((cause) => cause instanceof Error && cause.name === name) !== null;
  try {
    const [validator, agentId, response, responseHash, tag, lastUpdate] = await client.readContract({
      address: registry,
      abi: VALIDATION_REGISTRY_ABI,
      functionName: "getValidationStatus",
      args: [requestHash],
    });
    if (/^0x0{40}$/.test(validator)) return null;
    return {
      validator: validator.toLowerCase(),
      agentId,
      response,
      responseHash: responseHash.toLowerCase(),
      tag,
      lastUpdate: Number(lastUpdate),
    };
  } catch (error) {
    if (named(error, "ContractFunctionRevertedError")) return null;
    if (!named(error, "ContractFunctionZeroDataError")) throw error;
    throw new Proof402Error("registry_missing", "There is no validation registry at the configured address.", {
      next: "Correct validationRegistry in the configuration.",
      cause: error,
    });
  }
}

const hex = (text: string): Hex => `0x${text.slice(2)}`;

const postingFailed = (cause: unknown): Proof402Error =>
  new Proof402Error("posting_failed", "The chain did not take the verdict.", {
    next: "Check that the wallet holds the chain's own coin for gas, and that it may ask for validations of this agent.",
    cause,
  });
