import { textOf, toBase64, type Bytes, type Hex } from "../bytes.ts";
import type { Chat } from "./chat.ts";
import type { Tensor, TensorMetadata } from "./tensors.ts";

/** The two parts of an exchange. */
export type Part = "request" | "response";

/** What a request asks: this input, of a model with these tensors. `nonce` is hex. */
export type Asked = {
  takes: readonly TensorMetadata[];
  model: string;
  input: Record<string, unknown>;
  nonce: string;
  /** Places of the input that take numbers and no text: names from the outside in, null for each item of an array. */
  numbers?: readonly (readonly (string | null)[])[];
};

/**
 * An exchange format: how a request is written and read back, how it carries nonce and model, and how an answer is read. A
 * buyer writes by it, a seller answers by it, and a verifier judges by it. Pure, and nothing that reads throws.
 */
export type ExchangeFormat = {
  /** Completes "an ... request". */
  name: string;
  /** How its requests travel, by the name in the table of carriers. A format that leaves this out is spoken over HTTP. */
  carrier?: "mcp";
  /**
   * The path of a seller's one address, for formats without a path for each model. A seller's entry or a policy may name another.
   * Other formats leave this out.
   */
  at?: string;
  /** The path that requests for a model go to, or this request. */
  pathOf: (model: string, request?: Uint8Array) => string;
  /** Describes an input for a model with these tensors: each value's name and its form in a few words. */
  describeInput: (takes: readonly TensorMetadata[]) => Record<string, string>;
  /**
   * The request for a model's answer to an input, which carries the nonce (hex). Throws Proof402Error `invalid_input`,
   * naming the misfit and the right form.
   */
  writeRequest: (asked: Asked) => { headers: Record<string, string>; body: Bytes };
  /** The least input for a model with these tensors, to ask for a price with. Null if it would be too large. */
  exampleInput: (takes: readonly TensorMetadata[]) => Record<string, unknown> | null;
  /** Names all of a request that its price may depend on. A format without it has prices by the request's path alone. */
  pricedBy?: (request: Uint8Array) => string;
  /** Reads a request back into the form of its input. Null if the bytes are no such request. */
  readInput: (request: Uint8Array) => Record<string, unknown> | null;
  /** What an answer says, each value as the seller wrote it. */
  readAnswer: (response: Uint8Array) => AnswerReading;
  /** Reads the `answer` of `readAnswer` as a chat, or gives null. A format without chats leaves this out, and no chat is bought by it. */
  readChat?: (answer: Record<string, unknown>) => Chat | null;
  /** A reader of one answer's pieces as its bytes come. A format without streams leaves this out. */
  readParts?: () => PartsReader;
  /** The nonce that a part carries, or null. */
  nonceIn: (body: Uint8Array, part: Part) => string | null;
  /** The model that a part says it is for or of, or null. */
  modelIn: (body: Uint8Array, part: Part) => string | null;
  /** Compares the model that an answer names with the one asked for. A format without it has one spelling for each model. */
  compareModels?: (asked: string, served: string) => ModelMatch;
  /**
   * The cost of an answer in its seller's words, in whole tokens of a symbol, or null. Never signed. A format without a field for it
   * leaves this out.
   */
  costIn?: (response: Uint8Array) => { amount: string; symbol?: string } | null;
  /** What each part must carry. All else is compared only if it is there: not every protocol has a field for it. */
  mustCarry: Readonly<Record<Part, readonly ("nonce" | "model")[]>>;
  /** Whether two readers could hold two values of a part, since it names a key twice. Then it carries no nonce and no model. */
  isAmbiguous: (body: Uint8Array) => boolean;
  /**
   * Sellers pass requests on to a model elsewhere. No measurement of theirs covers its weights, and no verdict about them
   * asks for one. A format of sellers that run their models leaves this out.
   */
  forwards?: true;
  /** What sellers sign of an exchange. A format whose sellers sign the exact bytes of both parts leaves this out. */
  signed?: SignedParts;
  /** The tensors that a part holds, for proofs and re-executions. A format without tensors leaves this out. */
  readTensors?: (body: Uint8Array, part: Part) => TensorReading;
};

/** Whether two names are of one model. `as` completes "The answer names the model ...", where they are spelt in two ways. */
export type ModelMatch = { isSame: boolean; as: string | null };

/**
 * A form in which sellers sign a part, by its name: they sign its Keccak-256. `ofAnother` if another part says something
 * else and has the same bytes: then the signature shows neither.
 */
export type SignedForm = { name: string; bytes: Bytes; ofAnother?: boolean };

/** How sellers sign an exchange, where it is not by an RSA key over the bytes of both parts. */
export type SignedParts = SignedForms | { kind: "signature.oyster"; leavesOut: string };

/** What a signature covers where it is not the bytes of the exchange. */
export type SignedForms = {
  /** The kind of its evidence. */
  kind: "signature.opengradient";
  /** A part in every form in which it is signed; empty if it cannot be signed. */
  formsOf: (body: Uint8Array, part: Part) => SignedForm[];
  /** The signature at an answer's end, or null. Without one the answer counts as unsigned. */
  signatureIn: (response: Uint8Array) => SellerSignature | null;
  /** Whether an answer holds a signature of any form, also one that `signatureIn` does not read. Says nothing of its worth. */
  bearsSignature: (response: Uint8Array) => boolean;
  /** Completes "The signature does not cover ...". */
  leavesOut: string;
};

/** A seller's signature as its answer tells it. Hashes are hex. */
export type SellerSignature = {
  /** Keccak-256 of the SPKI of the key, 0x hex. */
  teeId: Hex;
  requestHash: string;
  outputHash: string;
  /** Unix seconds. */
  timestamp: number;
  /** Base64. */
  signature: string;
};

/** Why a body cannot be read. */
export type UnreadableReason =
  /** It is in another format: binary, gRPC, some other JSON, an unknown datatype. */
  | "other_format"
  /** It is a stream whose end did not come. */
  | "unfinished"
  /** It holds an error message in place of an answer. */
  | "states_error"
  /** It contradicts itself: data that is not of the shape or the datatype, more rows than it has bytes, one name or key twice, two models. */
  | "inconsistent";

export type TensorReading = { ok: true; tensors: Tensor[] } | { ok: false; reason: UnreadableReason };

/** An answer as it came, where this version cannot read it: text if the bytes are UTF-8, else base64. */
export type RawAnswer = { encoding: "utf8" | "base64"; body: string };

/**
 * An answer by name, tensors as nested arrays: integers beyond 2^53 - 1 are decimal texts, NaN and infinities are numbers,
 * texts are unchanged. One that cannot be read is handed over as it came, and nothing can be concluded from it.
 */
export type AnswerReading =
  | { readable: true; answer: Record<string, unknown> }
  | { readable: false; reason: UnreadableReason; answer: RawAnswer };

/** A piece of an answer that is still coming: what it adds to the text, the refusal and the calls. Nothing of it is judged. */
export type AnswerPart = { text?: string; refusal?: string; toolCalls?: ToolCallPart[] };
/** What a piece adds to the call with this index, counted from 0. Arguments are a piece of JSON text. */
export type ToolCallPart = { index: number; id?: string; name?: string; arguments?: string };

/**
 * Reads one answer as its bytes come, in pieces of any size. Of an answer that `readAnswer` reads, its parts say all of it.
 * Of any other answer they say the beginning. Never throws.
 */
export type PartsReader = {
  push(bytes: Uint8Array): AnswerPart[];
  /** The parts of an answer that are known at its end only. */
  end(): AnswerPart[];
};

/** The reading of an answer that cannot be read. */
export function unreadableAnswer(body: Uint8Array, reason: UnreadableReason): AnswerReading {
  const text = textOf(body);
  const answer: RawAnswer =
    text === undefined ? { encoding: "base64", body: toBase64(body) } : { encoding: "utf8", body: text };
  return { readable: false, reason, answer };
}
