import * as z from "zod";
import { decodeUserData } from "../evidence/attestation.ts";
import { evidenceOf, signingHash } from "../evidence/methods/methods.ts";
import { equalBytes, fromBase64, fromHex, sha256, toHex, type Bytes, type Hex } from "../evidence/bytes.ts";
import { decodeNitroDocument } from "../evidence/nitro.ts";
import { signerOf } from "../evidence/signer.ts";
import { teeIdOf } from "../evidence/tee-signature.ts";
import { withoutDisputed } from "../receipts/disputed.ts";
import type { Receipt, ReceiptCore } from "../receipts/schema.ts";
import { allEvidence, onlyOne, onlySignature } from "./find-evidence.ts";
import { AWS_NITRO_ROOT } from "./tee/nitro.ts";
import { fixesPayer, payerKeyOf } from "./layers/payment.ts";
import { appraisalPolicySchema } from "./policy.ts";
import { createVerificationCache, type VerificationCache } from "./verification-cache.ts";
import { namedCertificate } from "./layers/tls.ts";
import { broken, guarded } from "./guarded.ts";
import { judgeSignature } from "./layers/signature.ts";

/** What an attestation document says by itself. */
export type PlatformFacts = {
  /** SHA-256 of the DER of the root certificate, hex; null where the document cannot be read. */
  root: string | null;
  /** The root is AWS's. Any other was made on some machine. */
  rootIsAws: boolean;
  /** Chain and signature hold up to that root. Anyone can make a root. Else what is wrong. */
  genuine: boolean;
  problem: string | null;
  /** Unix ms of the document, and between which its certificates are valid. */
  time: number | null;
  validFrom: number | null;
  validUntil: number | null;
  /** PCR index -> SHA-384 hex. */
  measurements: Record<string, string>;
  /** It answers the nonce that the receipt names. */
  answersNonce: boolean;
};

/** The facts of a receipt without any policy: for an auditor new to its seller. */
export type Facts = {
  /**
   * SHA-256 of TLS certificates, hex: the document's, and the one that the buyer says it saw. Null if a genuine document
   * names none, or there is not one certificate on record.
   */
  tls: { named: string | null; seen: string | null };
  /** Null where the receipt has no single attestation. */
  platform: PlatformFacts | null;
  key: {
    /** keccak256 of the SPKI, 0x hex. */
    id: string;
    /** The document binds it. */
    bound: boolean;
    /** It signed exactly this request and this answer. */
    signedExchange: boolean;
  } | null;
  /** A seller signs the Keccak-256. SHA-256 of the bytes here; null without them. */
  hashes: Record<"request" | "response", { sha256: string | null; keccak256: string; bytes: "here" | "left_out" }>;
  /** ISO times, by the clocks of buyer and seller. */
  times: { sentAt: string; receivedAt: string; signedAt: string | null };
  /** Who signed exactly these terms on the payer's side, where the receipt shows a signature. */
  agreement: {
    /**
     * The address recovered from the signature, null if it is invalid. Of other terms than these it is a chance one.
     */
    signer: string | null;
    /**
     * It is the payer's, or of a channel its authorizer's. Null where it would be, but neither the message (of Permit2) nor
     * anything that the attested key signed names the payer: then any address can stand there.
     */
    byPayer: boolean | null;
  } | null;
  /** As the file says them: no policy has confirmed payee or token. */
  terms: Pick<ReceiptCore["payment"], "scheme" | "network" | "asset" | "amount" | "payer" | "payTo">;
};

/**
 * Reads the facts of a receipt that `parseReceipt` gave. Never throws.
 *
 * @example
 * ```ts
 * import { readFile } from "node:fs/promises";
 * import { parseReceipt, readFacts } from "proof402/verify";
 *
 * const parsed = parseReceipt(await readFile("receipt.json"));
 * if (parsed.ok) process.stdout.write(JSON.stringify(await readFacts(parsed.receipt), null, 2));
 * ```
 */
export async function readFacts(file: Receipt, session: VerificationCache = createVerificationCache()): Promise<Facts> {
  const receipt = withoutDisputed(file);
  const { core } = receipt;
  const { request, response, payment } = core;
  const signature = onlySignature(core.evidence);
  const hashesOf = (part: typeof request | typeof response): Facts["hashes"]["request"] => ({
    sha256: part.body === undefined ? null : part.sha256,
    keccak256: part.keccak256,
    bytes: part.body === undefined ? "left_out" : "here",
  });
  const { scheme, network, asset, amount, payer, payTo } = payment;
  const attested = await guarded(
    () => unreadableFacts(core),
    () => attestedFacts(core, session),
  );
  const { platform, key } = attested;
  const sellerSigned = platform?.genuine === true && key?.bound === true && key.signedExchange;
  return {
    ...attested,
    hashes: { request: hashesOf(request), response: hashesOf(response) },
    times: {
      sentAt: request.sentAt,
      receivedAt: response.receivedAt,
      signedAt:
        signature.kind === "one" && "timestamp" in signature.evidence
          ? new Date(signature.evidence.timestamp * 1000).toISOString()
          : null,
    },
    agreement: agreementOf(receipt, sellerSigned, session),
    terms: { scheme, network, asset, amount, payer, payTo },
  };
}

/** A token's domain as an offer names it. */
const domainIn = z.object({ name: z.string().default(""), version: z.string().default("") });

/** Checks the signature over the terms as they stand here, not over a hash named by the file. */
function agreementOf(receipt: Receipt, sellerSigned: boolean, session: VerificationCache): Facts["agreement"] {
  const { payment, offer } = receipt.core;
  const settlement = onlyOne(allEvidence(receipt), "settlement.x402");
  if (settlement.kind !== "one" || settlement.evidence.signature === undefined) return null;
  try {
    const { name, version } = domainIn.parse(evidenceOf(payment).inTokenDomain ? offer.extra : {});
    const { signature } = settlement.evidence;
    const [hash, payer] = [signingHash(payment, { name, version }), payerKeyOf(payment)];
    const agrees = session.isSignedBy(signature, hash, payer);
    const signer = agrees ? payer : signerOf(signature, hash);
    return { signer, byPayer: agrees && !fixesPayer(receipt.core, sellerSigned) ? null : agrees };
  } catch {
    // Terms of no domain, or of a chain or an amount that nothing can be signed for.
    return { signer: null, byPayer: false };
  }
}

/** Facts of a key that no attestation speaks for. */
async function factsOfKeyAlone(core: ReceiptCore, session: VerificationCache): Promise<Facts["key"]> {
  const found = onlyOne(core.evidence, "signature.key");
  if (found.kind !== "one" || onlyOne(core.evidence, "tee.nitro").kind !== "none") return null;
  const spki = fromBase64(found.evidence.publicKey);
  const id = teeIdOf(spki);
  return { id, bound: false, signedExchange: await signedExchange(core, { spki, keyId: id }, session) };
}

/** Tells whether a key signed the receipt's exchange. */
async function signedExchange(
  core: ReceiptCore,
  key: { spki: Bytes; keyId: Hex },
  session: VerificationCache,
): Promise<boolean> {
  const signature = await guarded(broken, () =>
    judgeSignature(core, { key, known: true }, appraisalPolicySchema.parse({}), session),
  );
  return signature.status === "pass";
}

/** Of evidence in base64 of another spelling than its one canonical form, which the schema lets pass. */
function unreadableFacts(core: ReceiptCore): Pick<Facts, "platform" | "key" | "tls"> {
  const peer = onlyOne(core.evidence, "tls.peer");
  const isAttested = onlyOne(core.evidence, "tee.nitro").kind === "one";
  const unread = {
    root: null,
    rootIsAws: false,
    genuine: false,
    problem: "The attestation or its key is not in canonical base64.",
    time: null,
    validFrom: null,
    validUntil: null,
    measurements: {},
    answersNonce: false,
  };
  return {
    platform: isAttested ? unread : null,
    key: null,
    tls: { named: null, seen: peer.kind === "one" ? peer.evidence.certificateSha256 : null },
  };
}

async function attestedFacts(
  core: ReceiptCore,
  session: VerificationCache,
): Promise<Pick<Facts, "platform" | "key" | "tls">> {
  const found = onlyOne(core.evidence, "tee.nitro");
  const peer = onlyOne(core.evidence, "tls.peer");
  const seen = peer.kind === "one" ? peer.evidence.certificateSha256 : null;
  if (found.kind !== "one")
    return { platform: null, key: await factsOfKeyAlone(core, session), tls: { named: null, seen } };
  const { document, nonce, publicKey } = found.evidence;
  const decoded = decodeNitroDocument(fromBase64(document));
  const first = decoded.ok ? decoded.document.payload.cabundle[0] : undefined;
  const root = first === undefined ? null : toHex(sha256(first));
  // Under its own root: whether anybody should trust that one is not asked here.
  const facts = await session.nitroFacts(document, root === null ? [] : [root]);
  const payload = facts.ok ? facts.payload : null;
  const spki = fromBase64(publicKey);
  const key = { spki, keyId: teeIdOf(spki) };
  const bound = payload?.userData == null ? null : decodeUserData(payload.userData);
  return {
    tls: { named: bound === null ? null : namedCertificate(bound.tlsCertificateSha256), seen },
    platform: {
      root,
      rootIsAws: root === AWS_NITRO_ROOT,
      genuine: facts.ok,
      problem: facts.ok ? null : facts.message,
      time: payload?.timestamp ?? null,
      validFrom: facts.ok ? facts.notBefore : null,
      validUntil: facts.ok ? facts.notAfter : null,
      measurements: Object.fromEntries([...(payload?.pcrs ?? [])].map(([index, digest]) => [index, toHex(digest)])),
      answersNonce: payload?.nonce != null && equalBytes(payload.nonce, fromHex(nonce)),
    },
    key: {
      id: key.keyId,
      bound: bound !== null && equalBytes(bound.signingKeySha256, sha256(spki)),
      signedExchange: await signedExchange(core, key, session),
    },
  };
}
