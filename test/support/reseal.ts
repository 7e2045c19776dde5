import { signingHash } from "../../src/evidence/methods/methods.ts";
import { fromBase64, keccak256, sha256, toHex } from "../../src/evidence/bytes.ts";
import { canonicalSha256 } from "../../src/evidence/canonical.ts";
import { receiptId } from "../../src/receipts/receipt.ts";
import { receiptSchema, type Receipt } from "../../src/receipts/schema.ts";

/**
 * The receipt as a forger leaves it: each hash that takes no key made right again, from the bodies to the id. Null where
 * its schema refuses it.
 */
export function resealed(altered: unknown): Receipt | null {
  const parsed = receiptSchema.safeParse(altered);
  if (!parsed.success) return null;
  try {
    const receipt: Receipt = structuredClone(parsed.data);
    const { core } = receipt;
    for (const part of [core.request, core.response]) {
      if (part.body === undefined) continue;
      const bytes = fromBase64(part.body);
      Object.assign(part, { sha256: toHex(sha256(bytes)), keccak256: toHex(keccak256(bytes)) });
    }
    const { offerHash: _old, ...bare } = core.offer;
    core.offer.offerHash = toHex(canonicalSha256(bare));
    const { name, version } = core.offer.extra as { name: string; version: string };
    const { payment } = core;
    payment.authorizationHash = signingHash(payment, { name, version });
    if (payment.method === "voucher") payment.nonce = payment.authorizationHash;
    return { ...receipt, id: receiptId(core) };
  } catch {
    return null;
  }
}
