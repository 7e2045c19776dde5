import { fromHex0x, keccak256, toHex } from "./bytes.ts";

/**
 * The request nonce of a purchase: the first 16 bytes of keccak256(authorization nonce), hex. The nonce stands in the
 * request bytes that the seller signs for, and the authorization nonce in the token's own event: so the signature over
 * the answer and the transfer on chain name each other, and neither can be shown with another's.
 */
export const requestNonceOf = (authorizationNonce: string): string =>
  toHex(keccak256(fromHex0x(authorizationNonce)).subarray(0, 16));
