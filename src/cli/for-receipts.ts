import { Proof402Error } from "../errors.ts";

/** Runs a command about receipts. Without a configuration it advises an auditor, who has none and buys nothing. */
export const forReceipts =
  <Args extends unknown[]>(command: (...args: Args) => Promise<number>) =>
  async (...args: Args): Promise<number> => {
    try {
      return await command(...args);
    } catch (error) {
      if (!Proof402Error.isInstance(error) || error.code !== "config_not_found") throw error;
      throw new Proof402Error(error.code, error.message, {
        next: "A receipt's file is checked without one: proof402 verify FILE --trust trust.json, with a trust file of its buyer's. Stored receipts need one: name it with --config or PROOF402_CONFIG. To keep the receipts of others, make one with `proof402 init`: its wallet may stay empty.",
        cause: error,
      });
    }
  };
