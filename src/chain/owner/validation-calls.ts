import type { Hex } from "../../evidence/bytes.ts";

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

/** One of the registry's two writes, and nothing else. */
export type ValidationCall =
  | { kind: "validation-request"; registry: Hex; validator: Hex; agentId: bigint; uri: string; requestHash: Hex }
  | {
      kind: "validation-response";
      registry: Hex;
      requestHash: Hex;
      response: 0 | 100;
      uri: string;
      responseHash: Hex;
      tag: string;
    };

/** The call of a registry's write. */
export async function encodeValidation(call: ValidationCall): Promise<{ to: Hex; data: Hex }> {
  const { encodeData } = await import("ox/AbiFunction");
  const abi = VALIDATION_REGISTRY_ABI;
  const data =
    call.kind === "validation-request"
      ? encodeData(abi, "validationRequest", [call.validator, call.agentId, call.uri, call.requestHash])
      : encodeData(abi, "validationResponse", [call.requestHash, call.response, call.uri, call.responseHash, call.tag]);
  return { to: call.registry, data };
}
