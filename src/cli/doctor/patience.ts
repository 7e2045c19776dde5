/** Longest that one RPC or seller is waited for, seconds. */
export const PATIENCE_SECONDS = 8;
