/** Long parts of receipts, each once. */
export type ContentsTable = {
  /** SHA-256 of the text's UTF-8 bytes, hex. */
  hash: string;
  /** The text by DEFLATE (RFC 1951). */
  packed: Uint8Array;
};
