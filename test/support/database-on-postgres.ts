import * as storage from "../../src/storage/database.ts";
import { databasePlace } from "./database-place.ts";

// oxlint-disable-next-line import/export -- what follows takes the place of one of them
export * from "../../src/storage/database.ts";

export const openDatabase = async (path: string): Promise<storage.Db> =>
  storage.openDatabase(await databasePlace(path));
export const openToRead = async (path: string): Promise<{ db: storage.Db; schema: number }> =>
  storage.openToRead(await databasePlace(path));
