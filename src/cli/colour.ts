import { isatty } from "node:tty";
import pc from "picocolors";

const { FORCE_COLOR, NO_COLOR, TERM } = process.env;
const forced = FORCE_COLOR !== undefined && FORCE_COLOR !== "0";
const refused = (NO_COLOR !== undefined && NO_COLOR !== "") || TERM === "dumb";

/** Colours for stdout: plain text wherever it is no terminal, also in CI, and wherever NO_COLOR asks for it. */
export const colour = pc.createColors(!refused && (forced || isatty(1)));
