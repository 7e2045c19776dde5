import { CHECKING_PEERS, howToInstall, missingPeers } from "../../peers.ts";
import { skipped, warning, well, type Check } from "./check.ts";

/** The optional packages that this configuration's own checks need. */
export const peers: Check = {
  name: "peers",
  look({ config }) {
    const pinsEzkl = config.sellers.some(({ reference }) => Object.keys(reference.ezkl).length > 0);
    const needed = [
      ...(config.verification.replay === undefined ? [] : [CHECKING_PEERS.replay]),
      ...(pinsEzkl ? [CHECKING_PEERS.ezkl] : []),
    ];
    const missing = missingPeers(needed);
    if (needed.length === 0) return Promise.resolve([skipped("", "This configuration needs no optional package.")]);
    return Promise.resolve([
      missing.length === 0
        ? well("", `Installed: ${needed.join(", ")}.`)
        : warning(
            missing.join(", "),
            "Not installed: the checks that this configuration asks for cannot run, and their receipts reach no verdict.",
            howToInstall(missing),
          ),
    ]);
  },
};
