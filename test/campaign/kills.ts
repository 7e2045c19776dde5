// Calls over the command line and the MCP server that are killed or cancelled at random moments, each made again by the next
// process: none is paid twice, none stays without its answer. `npm run test:campaign` runs it; the figure is its last line.
import { openMarket } from "../support/devnet.ts";
import { endCall, type End } from "../hostile/ends.ts";

const RUNS = Number(process.env["PROOF402_CAMPAIGN_KILLS"] ?? 200);
/** From before the process knows its call to after the answer, on a machine that is not too busy. */
const LONGEST_MS = 1500;

/** Calls made at a time. */
const AT_ONCE = 3;

const market = await openMarket();
const wrong: unknown[] = [];

/** Ends one call and makes it again; keeps what is wrong with what there is then. */
async function endOne(run: number): Promise<void> {
  const surface = run % 2 === 0 ? "cli" : "mcp";
  const how = run % 4 < 2 ? "kill" : "cancel";
  const longest = surface === "cli" ? LONGEST_MS : LONGEST_MS / 2;
  const end: End = { surface, how, at: Math.floor(Math.random() * longest) };
  try {
    const { left, answer, ...after } = await endCall(market, end);
    const { used, counted, receipts, audited } = after;
    const once = left === 10_000n && answer !== null && used === 1 && counted === 1 && receipts === 1 && audited;
    if (!once) wrong.push({ end, ...after, left: String(left), answer });
  } catch (error) {
    wrong.push({ end, error: String(error) });
  }
}

let next = 0;
await Promise.all(
  Array.from({ length: AT_ONCE }, async () => {
    while (next < RUNS) await endOne(next++);
  }),
);
await market.stop();
for (const one of wrong) process.stdout.write(`${JSON.stringify(one)}\n`);
process.stdout.write(
  `${RUNS} calls killed or cancelled at random moments: ${RUNS - wrong.length} paid once and answered\n`,
);
process.exitCode = wrong.length === 0 ? 0 : 1;
