import { allowance, balance } from "./balance.ts";
import { channels } from "./channels.ts";
import type { Check } from "./check.ts";
import { clock } from "./clock.ts";
import { database } from "./database.ts";
import { gas } from "./gas.ts";
import { guard } from "./guard.ts";
import { key } from "./key.ts";
import { peers } from "./peers.ts";
import { rpc } from "./rpc.ts";
import { market, sellers } from "./sellers.ts";

/** Every check of a valid configuration, in the order of its lines. All run at once. */
export const CHECKS: readonly Check[] = [
  key,
  database,
  rpc,
  balance,
  gas,
  allowance,
  channels,
  sellers,
  market,
  guard,
  peers,
  clock,
];
