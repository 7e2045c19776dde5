/** The package's version, as receipts and protocol handshakes name it. A test holds it equal to package.json. */
export const VERSION = "0.1.0";
