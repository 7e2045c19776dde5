import { drawKeys } from "./key-pool.ts";

drawKeys(process.env["PROOF402_TEST_KEYS"] ?? "");
