import { attempt, problem, warning, well, type Check } from "./check.ts";
import { OTHERS, rightsProblem } from "../../files/read-file.ts";

/** The wallet's key: found, its own owner's, and a key. */
export const key: Check = {
  name: "key",
  look: async (around) => {
    const { config, env } = around;
    const { privateKeyFile, keystoreFile } = config.wallet;
    const fromEnv = (env["PROOF402_PRIVATE_KEY"] ?? "") !== "";
    const file = privateKeyFile ?? keystoreFile ?? "";
    const subject = fromEnv ? "PROOF402_PRIVATE_KEY" : file;
    const opened = await attempt(subject, async () => {
      const own = await around.wallet();
      if (own !== null) return well(subject, `Wallet ${own.address}.`);
      return problem(
        subject,
        "No wallet is configured.",
        "Set PROOF402_PRIVATE_KEY, or wallet.privateKeyFile or wallet.keystoreFile in the configuration.",
      );
    });
    const denied = privateKeyFile === undefined ? OTHERS.write : OTHERS.anything;
    // The variable takes the file's place, and the file still holds a key.
    const rights = fromEnv && file !== "" ? await rightsProblem(file, denied).catch(() => null) : null;
    return rights?.problem === "permissions"
      ? [opened, warning(file, "Others than its owner have rights to it.", `Run chmod 600 ${file}`)]
      : [opened];
  },
};
