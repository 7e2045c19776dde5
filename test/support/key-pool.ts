import { generateKeyPair } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";

type Pair = { private: string; public: string };
type Rsa = Algorithm & { modulusLength?: number };

/** More than any one test uses: keys that it compares are different ones. */
const KEYS = 24;
const fileIn = (folder: string): string => join(folder, "rsa-keys.json");

/** Makes the keys that every market and every fixture draws from: each costs 0.15 s of CPU, and a run asks for a thousand. */
export async function makeKeys(folder: string): Promise<void> {
  const make = promisify(generateKeyPair);
  const pairs = await Promise.all(
    Array.from({ length: KEYS }, async (): Promise<Pair> => {
      const { privateKey, publicKey } = await make("rsa", { modulusLength: 2048 });
      return {
        private: privateKey.export({ type: "pkcs8", format: "der" }).toString("base64"),
        public: publicKey.export({ type: "spki", format: "der" }).toString("base64"),
      };
    }),
  );
  writeFileSync(fileIn(folder), JSON.stringify(pairs), { mode: 0o600 });
}

const POOLED = Symbol.for("proof402.test.pooled-keys");

/** Has WebCrypto of this process hand out those in turn where it is asked for an RSA key of 2048 bits. */
export function drawKeys(folder: string): void {
  const place = globalThis as { [POOLED]?: true };
  if (place[POOLED] === true) return;
  place[POOLED] = true;
  const { subtle } = globalThis.crypto;
  const make = subtle.generateKey.bind(subtle);
  let pairs: Pair[] | null = null;
  let turn = 0;
  const draw = async (algorithm: Rsa, extractable: boolean, usages: KeyUsage[]): Promise<CryptoKeyPair> => {
    pairs ??= JSON.parse(readFileSync(fileIn(folder), "utf8")) as Pair[];
    const pair = pairs[turn++ % pairs.length]!;
    const read = (format: "pkcs8" | "spki", text: string, exported: boolean, use: KeyUsage): Promise<CryptoKey> =>
      subtle.importKey(
        format,
        Buffer.from(text, "base64"),
        algorithm,
        exported,
        usages.filter((one) => one === use),
      );
    const [privateKey, publicKey] = await Promise.all([
      read("pkcs8", pair.private, extractable, "sign"),
      read("spki", pair.public, true, "verify"),
    ]);
    return { privateKey, publicKey };
  };
  Object.defineProperty(subtle, "generateKey", {
    configurable: true,
    value: (algorithm: Rsa, extractable: boolean, usages: KeyUsage[]) =>
      algorithm.name === "RSA-PSS" && algorithm.modulusLength === 2048
        ? draw(algorithm, extractable, usages)
        : make(algorithm as never, extractable, usages),
  });
}
