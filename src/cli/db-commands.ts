import type { Command } from "commander";
import type { Lazily } from "./lazily.ts";

/** Adds `db`. */
export function addDb(program: Command, lazily: Lazily): void {
  const db = program.command("db").description("the buyer's database");
  db.command("copy")
    .description("copy it into a new file or an empty PostgreSQL database, and audit the copy; pays nothing")
    .requiredOption("--from <database>", "file or postgres:// address")
    .requiredOption("--to <database>", "a file that is not there, or the address of an empty database or schema")
    .addHelpText(
      "after",
      "\nExample: proof402 db copy --from proof402.db --to postgres://proof402@127.0.0.1/proof402\nPGPASSWORD or a pgpass file has the password. Others can see a command line.",
    )
    .action(lazily(async () => (await import("./db.ts")).copyDb, [], { speaks: true }));
}
