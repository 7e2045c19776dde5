import { concatBytes, keccak256, toHex0x, type Address, type Hex } from "./bytes.ts";

/** A registry of enclaves, and the type of those asked for. */
export type RegistryPlace = { network: string; contract: Address; teeType: number };

/** An active enclave by its registry, as of a block. Nothing but an attestation shows any of it to be true. */
export type RegisteredTee = {
  blockNumber: string;
  /** Recomputed: keccak256 of the key. */
  teeId: Hex;
  endpoint: string;
  /** DER SubjectPublicKeyInfo of the response signing key. */
  publicKey: Uint8Array;
  /** DER. */
  tlsCertificate: Uint8Array;
  pcrHash: Hex;
};

/** The measurements of an image in the one hash that OpenGradient's registry holds: keccak256(pcr0 ‖ pcr1 ‖ pcr2). */
export const pcrHashOf = (pcrs: readonly [Uint8Array, Uint8Array, Uint8Array]): Hex =>
  toHex0x(keccak256(concatBytes(...pcrs)));

const ENTRY = [
  { name: "owner", type: "address" },
  { name: "paymentAddress", type: "address" },
  { name: "endpoint", type: "string" },
  { name: "publicKey", type: "bytes" },
  { name: "tlsCertificate", type: "bytes" },
  { name: "pcrHash", type: "bytes32" },
  { name: "teeType", type: "uint8" },
  { name: "enabled", type: "bool" },
  { name: "registeredAt", type: "uint256" },
  { name: "lastHeartbeatAt", type: "uint256" },
] as const;

const OHTTP = {
  name: "ohttpConfig",
  type: "tuple",
  components: [
    { name: "keyId", type: "uint8" },
    { name: "kemId", type: "uint16" },
    { name: "kdfId", type: "uint16" },
    { name: "aeadId", type: "uint16" },
    { name: "publicKey", type: "bytes" },
    { name: "keyConfig", type: "bytes" },
    { name: "registeredAt", type: "uint256" },
  ],
} as const;

const active = <const Components extends readonly object[]>(components: Components) =>
  [
    {
      type: "function",
      name: "getActiveTEEs",
      stateMutability: "view",
      inputs: [{ name: "teeType", type: "uint8" }],
      outputs: [{ name: "", type: "tuple[]", components }],
    },
  ] as const;

/** Lists the active enclaves of a type, in the registry's newer layout and in the older one. Source: OpenGradient og-evm, `TEERegistry.sol`. */
export const ACTIVE_TEES = { newer: active([...ENTRY, OHTTP]), older: active(ENTRY) } as const;

/** Tells whether the registry's administrators approve an image for a type of enclave. */
export const PCR_APPROVED = [
  {
    type: "function",
    name: "isPCRApproved",
    stateMutability: "view",
    inputs: [
      { name: "teeType", type: "uint8" },
      { name: "pcrHash", type: "bytes32" },
    ],
    outputs: [{ name: "", type: "bool" }],
  },
] as const;
