/** A check's own process: reads one order, has EZKL's engine check the proof, says the outcome in one word, and ends. */
import { createRequire } from "node:module";
import { setFlagsFromString } from "node:v8";
import { isMainThread } from "node:worker_threads";
import type { settingsValidation, srsValidation, verify, vkValidation } from "@ezkljs/engine";
import { guard, readOrder } from "../subprocess/order.ts";
import { fromBase64 } from "../evidence/bytes.ts";
import { readEzklProof, writeEzklProof } from "../evidence/ezkl.ts";
import type { EzklCheck, EzklOutcome } from "../verify/types.ts";
import type { EngineOrder } from "./engine.ts";

type Engine = {
  verify: typeof verify;
  vkValidation: typeof vkValidation;
  settingsValidation: typeof settingsValidation;
  srsValidation: typeof srsValidation;
};

/** The one version whose file formats are known here. Its package says it with a v. */
const ENGINE_VERSION = "v21.0.0";

if (isMainThread) await check();
else guard();

async function check(): Promise<void> {
  const files = await readOrder<EngineOrder>(import.meta.url);
  const engine = loadEngine();
  const outcome: EzklOutcome =
    engine === null
      ? "missing"
      : outcomeOf(engine, {
          proof: fromBase64(files.proof),
          key: fromBase64(files.key),
          settings: fromBase64(files.settings),
          srs: fromBase64(files.srs),
        });
  process.stdout.write(outcome, () => process.exit(0));
}

function loadEngine(): Engine | null {
  const require = createRequire(import.meta.url);
  // One check ends before the optimising compiler of WebAssembly is done with ten megabytes of it.
  setFlagsFromString("--liftoff-only");
  try {
    const { version } = require("@ezkljs/engine/package.json") as { version: string };
    return version === ENGINE_VERSION ? (require("@ezkljs/engine") as Engine) : null;
  } catch {
    return null;
  }
}

/**
 * The engine stops reading a proof where it has enough of it. Refuses a proof that also verifies without its last byte:
 * no proof may have a second, longer form.
 */
function outcomeOf(engine: Engine, { proof, key, settings, srs }: EzklCheck): EzklOutcome {
  const parsed = readEzklProof(proof);
  if (parsed === null) return "refused";
  const [vk, circuit, params] = [clamped(key), clamped(settings), clamped(srs)];
  // What the policy pins is read first and alone, so that a refusal is one of the proof.
  const readable = [
    () => engine.settingsValidation(circuit),
    () => engine.srsValidation(params),
    () => engine.vkValidation(vk, circuit),
  ];
  if (!readable.every(holds)) return "unreadable";
  const verifies = (bytes: Uint8Array): boolean => {
    const file = clamped(bytes);
    return holds(() => engine.verify(file, vk, circuit, params));
  };
  if (!verifies(proof)) return "refused";
  return verifies(writeEzklProof({ ...parsed, proof: parsed.proof.subarray(0, -1) })) ? "refused" : "valid";
}

/** The engine throws where it refuses, and panics on some files: neither is a yes. */
function holds(check: () => boolean): boolean {
  try {
    return check();
  } catch {
    return false;
  }
}

function clamped(bytes: Uint8Array): Uint8ClampedArray {
  return new Uint8ClampedArray(bytes);
}
