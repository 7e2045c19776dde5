import { spawn } from "node:child_process";
import { once } from "node:events";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { ToolMessage } from "@langchain/core/messages";
import { tool, type StructuredToolInterface } from "@langchain/core/tools";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { z } from "zod";
import { readClaims } from "../../src/buyer/claims.ts";
import type { Actions } from "../../src/buyer/action-types.ts";
import { openBuyer } from "../../src/buyer/open.ts";
import type { Buyer } from "../../src/buyer/types.ts";
import type { Config } from "../../src/config/schema.ts";
import { sha256, toHex, utf8 } from "../../src/evidence/bytes.ts";
import type { GuardOptions } from "../../src/guard/requirement.ts";
import { guardTool } from "../../src/langchain/index.ts";
import { newestAppraisal } from "../../src/receipts/newest.ts";
import { createReceipt } from "../../src/receipts/receipt.ts";
import type { Receipt, ReceiptCore } from "../../src/receipts/schema.ts";
import { addReceipt } from "../../src/receipts/store.ts";
import { openDatabase } from "../../src/storage/database.ts";
import { immediate } from "../../src/storage/migrations.ts";
import { runCli } from "../support/cli.ts";
import { ETH_FEATURES, openMarket, type Market } from "../support/devnet.ts";
import { buyWith } from "../support/buy.ts";

let market: Market;
let buyer: Buyer;
let config: Config;
beforeAll(async () => {
  market = await openMarket();
  buyer = await market.buyer((own) => (config = own));
});
afterAll(() => market.stop());

let runs: string[];
beforeEach(() => {
  runs = [];
});

async function bought(one: Buyer = buyer): Promise<Receipt> {
  const result = await buyWith(one, {
    model: "eth-risk",
    input: ETH_FEATURES,
    seller: "honest",
    wait: "verified",
    idempotencyKey: crypto.randomUUID(),
  });
  return result.receipt;
}

const trading = (change: Partial<GuardOptions> = {}, act: (action: string) => unknown = () => "traded") =>
  guardTool(
    tool(({ action }: { action: string }) => (runs.push(action), act(action)), {
      name: "trade",
      description: "trades",
      schema: z.object({ action: z.string(), amount: z.number().default(5) }),
    }),
    { buyer, assurance: "attested", maxAge: 300, allowSimulated: true, bind: () => true, ...change },
  );
const call = async (guarded: StructuredToolInterface, id: string): Promise<ToolMessage> =>
  (await guarded.invoke({
    type: "tool_call",
    id: "c1",
    name: "trade",
    args: { action: "hold", receipt_id: id },
  })) as ToolMessage;
const codeOf = (message: ToolMessage): unknown =>
  (message.artifact as { error?: { code: unknown } } | undefined)?.error?.code;

/** A receipt of the same purchase with this changed in its core. */
const copyOf = ({ core, later }: Receipt, change: (core: ReceiptCore) => void): Receipt => {
  const changed = structuredClone(core);
  change(changed);
  return { ...createReceipt(changed), later };
};
const JUDGED = `{"action":"hold","amount":5}`;

describe("what an action came to", () => {
  test("is kept with its receipt and its arguments: done", async () => {
    const { id } = await bought();
    await call(trading(), id);
    expect(await buyer.claims(id)).toEqual([
      {
        receiptId: id,
        purpose: "guard",
        at: expect.any(String) as string,
        state: "done",
        arguments: { json: JUDGED, sha256: toHex(sha256(utf8(JUDGED))) },
        outcome: "traded",
        endedAt: expect.any(String) as string,
      },
    ]);
  });

  test("is shown with the receipt on the command line", async () => {
    const { id } = await bought();
    await call(
      trading({}, () => "\u001b[2Jtraded"),
      id,
    );
    const path = join(market.directory, "claims.json");
    await writeFile(path, JSON.stringify(config));
    const { code, stdout } = await runCli(["--config", path, "receipts", "show", id]);
    expect(code).toBe(0);
    expect(stdout).toMatch(/^Used \S+ for "guard": done, with \{"action":"hold","amount":5\} \(sha256 \w{64}\)/m);
    expect(stdout).toContain(String.raw`outcome "\u001b[2Jtraded"`);
  });

  test("T62: is undecided where it threw, and the receipt stays used", async () => {
    const { id } = await bought();
    const failing = trading({}, () => {
      throw new Error("the exchange hung up");
    });
    await expect(call(failing, id)).rejects.toThrow("the exchange hung up");
    expect(await buyer.claims(id)).toMatchObject([
      { state: "undecided", arguments: { json: JUDGED }, outcome: "Error: the exchange hung up" },
    ]);
    expect(codeOf(await call(trading(), id))).toBe("receipt_consumed");
    expect(runs).toEqual(["hold"]);
  });

  test("T62: is undecided where the caller gave it up", async () => {
    const { id } = await bought();
    const gone = new AbortController();
    const guarded = trading({}, () => {
      gone.abort();
      return new Promise(() => undefined);
    });
    const given = guarded.invoke({ action: "hold", receipt_id: id }, { signal: gone.signal });
    await expect(given).rejects.toThrow(/abort/i);
    await expect.poll(async () => (await buyer.claims(id))[0]?.endedAt).not.toBeNull();
    expect(await buyer.claims(id)).toMatchObject([{ state: "undecided" }]);
  });

  test("is invoking while this process is at it, and undecided to another that cannot know", async () => {
    const receipt = await bought();
    const states: unknown[] = [];
    const db = await openDatabase(config.database);
    const looking = trading({}, async () => {
      for (const claims of [await buyer.claims(receipt.id), await readClaims(db, receipt)])
        states.push(claims.map(({ state, arguments: args }) => [state, args?.json]));
      return "traded";
    });
    await call(looking, receipt.id);
    await db.destroy();
    expect(states).toEqual([[["invoking", JUDGED]], [["undecided", JUDGED]]]);
  });

  test("T62: is undecided after its process was killed in the middle, and it is not done again", async () => {
    const { id } = await bought();
    const script = `
      const [, proof402, langchain, config, id] = process.argv;
      const { openBuyer } = await import(proof402);
      const { guardTool } = await import(langchain);
      const { tool } = await import("@langchain/core/tools");
      const buyer = await openBuyer({ config: JSON.parse(config), wallet: null });
      const schema = { type: "object", properties: { action: { type: "string" } } };
      const trade = tool(() => process.kill(process.pid, "SIGKILL"), { name: "trade", description: "trades", schema });
      const guarded = guardTool(trade, { buyer, assurance: "attested", maxAge: 300, allowSimulated: true, bind: () => true });
      await guarded.invoke({ action: "hold", receipt_id: id });
    `;
    const built = (path: string): string => new URL(`../../dist/src/${path}`, import.meta.url).href;
    const args = [built("index.js"), built("langchain/index.js"), JSON.stringify(config), id];
    const child = spawn(process.execPath, ["--input-type=module", "--eval", script, ...args], {
      stdio: ["ignore", "ignore", "inherit"],
    });
    expect(await once(child, "exit")).toEqual([null, "SIGKILL"]);
    const [claim] = await buyer.claims(id);
    expect(claim).toMatchObject({ state: "undecided", outcome: null, endedAt: null });
    expect(claim?.arguments?.json).toBe(`{"action":"hold"}`);
    expect(codeOf(await call(trading(), id))).toBe("receipt_consumed");
    expect(runs).toEqual([]);
  });

  test("reaches the caller where its end cannot be written", async () => {
    const { id } = await bought();
    const unwritable: Actions["end"] = (claim, ended) =>
      buyer.actions.end(claim, { ...ended, outcome: Symbol("of no database") as never });
    const full = { ...buyer, actions: { ...buyer.actions, end: unwritable } };
    expect((await call(trading({ buyer: full }), id)).text).toBe("traded");
    const reopened = await openBuyer({ config, wallet: null });
    expect(await reopened.claims(id)).toMatchObject([{ state: "undecided", endedAt: null }]);
    await reopened.close();
  });

  test("is told of no receipt that is not here", async () => {
    await expect(buyer.claims(`p402_${"a".repeat(52)}`)).rejects.toMatchObject({ code: "receipt_not_found" });
  });
});

/** Takes a file's word for the chain: a receipt bought elsewhere is no more than reported. */
const taking = (own: Config): void => {
  own.verification.reportedSuffices = true;
};

describe("one purchase, one action", () => {
  const shift = (seconds: number) => (core: ReceiptCore) => {
    const at = Date.parse(core.response.receivedAt) + seconds * 1000;
    core.response.receivedAt = new Date(at).toISOString();
  };

  test("T61: by whichever of several receipts of it", async () => {
    const receipt = await bought();
    // As two processes that took turns at one payment left it.
    const second = copyOf(receipt, shift(1));
    const db = await openDatabase(config.database);
    await immediate(db, (tx) => addReceipt(tx, { ...second, later: [] }, newestAppraisal(receipt), new Date()));
    await db.destroy();
    const claims = await Promise.all([receipt.id, second.id].map((id) => buyer.claimReceipt(id, "guard")));
    expect(claims.filter(Boolean)).toEqual([true]);
    expect(await buyer.claims(second.id)).toEqual(await buyer.claims(receipt.id));
    expect(codeOf(await call(trading(), receipt.id))).toBe("receipt_consumed");
    const refused = await call(trading(), second.id);
    expect(codeOf(refused)).toMatch(/receipt_(?:imported|not_verified|pending)/);
    expect(refused.text).toContain(`this buyer's own, and this one differs: ${receipt.id}`);
    expect(runs).toEqual([]);
  });

  test("T61: on a receipt that this buyer did not buy only where the guard says so", async () => {
    const receipt = await bought();
    const stranger = await market.buyer(taking);
    await stranger.importReceipt(receipt);
    expect(codeOf(await call(trading({ buyer: stranger }), receipt.id))).toBe("receipt_imported");
    expect(await stranger.claims(receipt.id)).toEqual([]);
    expect((await call(trading({ buyer: stranger, allowImported: true }), receipt.id)).text).toBe("traded");
    expect(codeOf(await call(trading({ buyer: stranger, allowImported: true }), receipt.id))).toBe("receipt_consumed");
  });

  test("T61: of an imported one without a signed time never: the file's own word dates nothing", async () => {
    const receipt = await bought();
    const stranger = await market.buyer(taking);
    await stranger.importReceipt(receipt);
    const unsigned: Buyer = {
      ...stranger,
      verify: async (one, options) => {
        const appraisal = await stranger.verify(one, options);
        const response = { status: "skip" as const, code: "not_signed", note: "" };
        return { ...appraisal, assurance: "proven", layers: { ...appraisal.layers, response } };
      },
    };
    expect(codeOf(await call(trading({ buyer: unsigned, allowImported: true }), receipt.id))).toBe("receipt_imported");
    expect(runs).toEqual([]);
  });
});

describe("how old a receipt is", () => {
  test("T61: is counted from the time that was signed, whatever time of receipt a copy has", async () => {
    const receipt = await bought();
    const minutes = 40 * 60_000;
    const clock = (): Date => new Date(Date.now() + minutes);
    const young = copyOf(receipt, ({ response }) => {
      response.receivedAt = new Date(Date.parse(response.receivedAt) + minutes).toISOString();
    });
    const stranger = await market.buyer(taking);
    const { appraisals } = await stranger.importReceipt(young);
    expect(appraisals.at(-1)?.verdict).toBe("verified");
    const message = await call(trading({ buyer: stranger, allowImported: true, clock }), young.id);
    expect(codeOf(message)).toBe("receipt_too_old");
  });

  test("T61: is bounded by now", async () => {
    const { id } = await bought();
    const early = (): Date => new Date(Date.now() - 30_000);
    expect(codeOf(await call(trading({ clock: early }), id))).toBe("receipt_of_future");
    expect((await call(trading(), id)).text).toBe("traded");
  });
});
