import { secondDatabase } from "../../buyer/one-database.ts";
import { Proof402Error } from "../../errors.ts";
import { requireOwnRights } from "../../storage/database.ts";
import { otherDatabases } from "../../storage/known-databases.ts";
import { shownDatabase } from "../../storage/postgres-address.ts";
import { hasRoomForNotices } from "../../storage/postgres-schema.ts";
import { SCHEMA_VERSION } from "../../storage/migrations.ts";
import { failure, problem, warning, well, type Check, type Found } from "./check.ts";
import type { Surroundings } from "./surroundings.ts";

/** The buyer's database: it opens, this program knows its schema, and the wallet has no other. */
export const database: Check = {
  name: "database",
  async look(around) {
    const { database: path, wallet } = around.config;
    const shown = shownDatabase(path);
    if (path === ":memory:") return [well(path, "Kept in memory: it ends with the process.")];
    const state = await stateOf(around, path, shown);
    const [db, own] = await Promise.all([around.records(), around.wallet().catch(() => null)]);
    const folder = wallet.databasesFolder;
    if (db === null || own === null || folder === undefined) return [state];
    const others = await otherDatabases(db, { folder, address: own.address, path });
    return [
      state,
      ...((await hasRoomForNotices(db))
        ? []
        : [
            warning(
              shown,
              "The server's queue of notices fills: another program listens in a transaction that stays open. Who waits looks by the clock meanwhile.",
              "End that session: pg_stat_activity shows it as idle in transaction.",
            ),
          ]),
      ...others.map((other) =>
        warning(other.path, secondDatabase(other).message, `If that database is gone, remove ${other.noted}.`),
      ),
    ];
  },
};

async function stateOf(around: Surroundings, path: string, shown: string): Promise<Found> {
  try {
    const opened = await around.database();
    if (opened === null) return well(shown, "It is not there yet: the first command that needs it makes it.");
    await requireOwnRights(path);
    if (opened.schema > SCHEMA_VERSION) {
      return problem(
        shown,
        `It has schema ${opened.schema}; this program knows up to ${SCHEMA_VERSION}.`,
        "Update proof402, or name another database in the configuration.",
      );
    }
    return well(
      shown,
      opened.schema === SCHEMA_VERSION
        ? `It opens, with schema ${opened.schema}.`
        : `It opens, with schema ${opened.schema}; the next command brings it to ${SCHEMA_VERSION}.`,
    );
  } catch (error) {
    if (Proof402Error.isInstance(error)) return failure(shown, error);
    return problem(
      shown,
      "It cannot be used as the buyer's database.",
      "Check that it can be written and was made by proof402. The configuration's database, or PROOF402_DATABASE, names it.",
    );
  }
}
