import { readStop } from "../../buyer/guard-stop.ts";
import { listActions } from "../../buyer/actions.ts";
import { stopText } from "../guard.ts";
import { skipped, warning, well, type Check } from "./check.ts";

/** The emergency stop, and guarded actions without a known end. They stop no purchase. */
export const guard: Check = {
  name: "guard",
  async look(around) {
    const db = await around.records();
    if (db === null) return [skipped("", "There are no records to look at.")];
    const stop = await readStop(db, around.config.database);
    if (stop !== null) return [warning("", stopText(stop), "End it with: proof402 guard start")];
    const undecided = (await listActions(db, { open: true, limit: 1000 })).filter(({ state }) => state === "undecided");
    if (undecided.length === 0) return [well("", "No stop is in force, and no guarded action waits for a decision.")];
    return [
      warning(
        "",
        `${undecided.length} guarded actions may have happened or not.`,
        "See them with: proof402 guard list --open",
      ),
    ];
  },
};
