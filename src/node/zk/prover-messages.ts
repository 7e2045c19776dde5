import type { ErrorCode } from "../../errors.ts";
import type { CircuitOptions } from "./circuit.ts";

/**
 * What the prover's process is asked. Models are ONNX files' bytes: the process lays them out itself. `opening` is the secret
 * of committed weights, hex.
 */
export type ProverTask =
  | { task: "setup"; model: Uint8Array; options: CircuitOptions; opening?: string }
  /** A key made elsewhere, from the same circuit's `.r1cs`. */
  | { task: "read"; zkey: Uint8Array }
  | {
      task: "load";
      name: string;
      model: Uint8Array;
      options: CircuitOptions;
      zkey: Uint8Array;
      opening?: string | undefined;
    }
  | { task: "prove"; name: string; input: bigint[]; request: [bigint, bigint] };

/** The verification part of a proving key: points in EIP-197 bytes, hex. */
export type VerificationPoints = { alpha1: string; beta2: string; gamma2: string; delta2: string; ic: string[] };

export type ProverResults = {
  setup: { zkey: Uint8Array; verification: VerificationPoints };
  read: { verification: VerificationPoints };
  load: null;
  /** Proof in EIP-197 bytes, hex; signals without folded weights, decimal. */
  prove: { proof: string; signals: string[] };
};

export type ProverAnswer =
  | { number: number; result: ProverResults[keyof ProverResults] }
  | { number: number; error: { code: ErrorCode; message: string } };
