import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { cp, mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { createInterface } from "node:readline";
import { text as readStream } from "node:stream/consumers";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { openBuyer } from "../../src/buyer/open.ts";
import { loadConfig } from "../../src/config/load.ts";
import type { ConfigInput } from "../../src/config/schema.ts";
import { writeDevnet } from "../../src/devnet/index.ts";
import { createReceipt, parseReceipt, serializeReceipt } from "../../src/receipts/receipt.ts";
import type { Receipt } from "../../src/receipts/schema.ts";
import { verifyReceipt } from "../../src/tools/index.ts";
import { CLI, runCli } from "../support/cli.ts";
import { ETH_FEATURES, openMarket, setupsSoFar, type Market, writeVariant } from "../support/devnet.ts";

let market: Market;
let config: string;
let receiptFile: string;
let receipt: Receipt;
const input = JSON.stringify(ETH_FEATURES);
const cli = (...args: string[]) => runCli(["--config", config, ...args]);
const buy = (...args: string[]) => cli("buy", "eth-risk", "--input", input, ...args);

beforeAll(async () => {
  market = await openMarket();
  ({ config } = await writeDevnet(market.devnet, market.directory));
  const bought = JSON.parse((await buy("--json", "--seller", "honest", "--wait", "verified")).stdout) as {
    receipt: { id: string };
  };
  receiptFile = join(market.directory, "receipt.json");
  await cli("receipts", "export", bought.receipt.id, receiptFile);
  const parsed = parseReceipt(await readFile(receiptFile));
  if (!parsed.ok) throw new Error(parsed.message);
  ({ receipt } = parsed);
});
afterAll(() => market.stop());

/** A copy of the configuration with a change. */
const variant = (name: string, change: (config: ConfigInput) => void): Promise<string> =>
  writeVariant(config, join(market.directory, `${name}.config.json`), change);

describe("verify", () => {
  test("shows every layer, what is simulated and what is not proven", async () => {
    const { stdout, stderr, code } = await cli("verify", receiptFile);
    expect(code).toBe(0);
    expect(stderr).toBe("");
    expect(stdout).toContain("VERIFIED");
    expect(stdout).toContain("SIMULATED");
    for (const layer of [
      "platform",
      "code",
      "key",
      "freshness",
      "request",
      "response",
      "model",
      "computation",
      "payment",
      "settlement",
      "inclusion",
    ]) {
      expect(stdout).toMatch(new RegExp(`^${layer} +(?:pass|skip|pending|unsupported)`, "m"));
    }
    expect(stdout).toContain("does not prove");
  });

  test("does not take the file's word for what it was asked to prove", async () => {
    const [first] = receipt.appraisals;
    if (first === undefined) throw new Error("a bought receipt is appraised");
    // Evidence is left out, as a seller would who has none, and the file says that none was asked for.
    const bare = createReceipt({ ...receipt.core, seller: { ...receipt.core.seller, keyId: null }, evidence: [] });
    const forged: Receipt = {
      ...bare,
      // An inclusion would name a signature that this one lacks.
      later: receipt.later.filter(({ evidence }) => evidence.kind === "settlement.x402"),
      appraisals: [{ ...first, wanted: "none", verdict: "verified" }],
    };
    const file = join(market.directory, "modest.json");
    await writeFile(file, serializeReceipt(forged));
    // Another's store: one's own knows that this is not the receipt of that purchase (T97).
    const path = await variant("auditor", (own) => (own.database = join(market.directory, "auditor.db")));
    const judged = await runCli(["--config", path, "verify", file, "--json"]);
    expect(judged.code).toBe(2);
    expect(JSON.parse(judged.stdout)).toMatchObject({ receipt: { wanted: "attested", verdict: "unverified" } });
    expect((await cli("verify", file)).code).toBe(1);
    // The tool, on every other surface, judges alike.
    const buyer = await market.buyer();
    const outcome = await verifyReceipt.run({ buyer }, { content: new TextDecoder().decode(serializeReceipt(forged)) });
    expect(outcome).toMatchObject({ status: "ok", data: { receipt: { wanted: "attested", verdict: "unverified" } } });
    // The one who verifies may ask for less, and is shown that they did.
    const less = await runCli(["--config", path, "verify", file, "--assurance", "none"]);
    expect(less.stdout).toContain("wanted none");
  });

  test("needs no key, no network and no database, only the configuration", async () => {
    const path = await variant("offline", (own) => {
      own.wallet = { privateKeyFile: "no-such.key" };
      own.database = "/nonexistent/directory/x.db";
      for (const one of own.networks) one.rpcUrl = "http://127.0.0.1:1";
    });
    const judged = await runCli(["--config", path, "verify", receiptFile, "--json"]);
    // Without the store that saw the chain, the file's word for it is only reported.
    expect(judged.code).toBe(2);
    expect(JSON.parse(judged.stdout)).toMatchObject({
      receipt: { verdict: "unverified", assurance: "attested", layers: { settlement: "reported", payment: "pass" } },
    });
    const taking = await variant("taking", (own) => {
      own.database = "/nonexistent/directory/x.db";
      own.verification = { ...own.verification, reportedSuffices: true };
    });
    expect((await runCli(["--config", taking, "verify", receiptFile])).code).toBe(0);
  });

  test("of an id needs the database, and still no key and no network", async () => {
    const path = await variant("keyless", (own) => {
      own.wallet = { privateKeyFile: "no-such.key" };
      for (const one of own.networks) one.rpcUrl = "http://127.0.0.1:1";
    });
    const keyless = (...args: string[]) => runCli(["--config", path, ...args]);
    expect((await keyless("verify", receipt.id)).code).toBe(0);
    expect((await keyless("receipts", "show", receipt.id)).stdout).toContain("VERIFIED");
    expect((await keyless("receipts")).stdout).toContain(receipt.id.slice(0, 13));
    expect((await keyless("audit")).code).toBe(0);
    const unknown = await keyless("verify", `p402_${"a".repeat(52)}`);
    expect(unknown.code).toBe(1);
    expect(unknown.stderr).toContain("receipt_not_found");
  });

  test("without a configuration says by what it judged", async () => {
    const { code, stderr, stdout } = await runCli(["verify", receiptFile], { cwd: tmpdir() });
    expect(code).toBe(2);
    expect(stderr).toContain("No policy for its seller");
    expect(stdout).toContain("UNVERIFIED: no policy");
    // The facts hold by themselves.
    expect(stdout).toMatch(/root +[0-9a-f]{64} \(not AWS's/);
    expect(stdout).toContain("chain and signature hold up to that root");
    expect(stdout).toContain("signed these bytes");
    expect(stdout).toContain(receipt.core.request.keccak256);
    // One that was named and is not there is not passed over.
    expect((await runCli(["--config", "/nonexistent.json", "verify", receiptFile])).code).toBe(64);
    expect((await runCli(["verify", receiptFile], { env: { PROOF402_CONFIG: "/nonexistent.json" } })).code).toBe(64);
  });

  test("reads standard input", async () => {
    expect(
      (await runCli(["--config", config, "verify", "-"], { stdin: await readFile(receiptFile, "utf8") })).code,
    ).toBe(0);
  });

  test("T72: a device and a pipe that nobody writes to are refused at once, not read for ever", async () => {
    const pipe = join(market.directory, "pipe.json");
    execFileSync("mkfifo", [pipe]);
    for (const path of ["/dev/zero", pipe]) {
      const { code, stderr } = await cli("verify", path);
      expect([path, code]).toEqual([path, 64]);
      expect(stderr).toContain("receipt_unreadable");
    }
  });

  test("a redacted receipt keeps its id and what its hashes prove", async () => {
    const file = join(market.directory, "redacted.json");
    expect((await cli("receipts", "export", receipt.id, file, "--redact-request", "--redact-response")).code).toBe(0);
    const text = await readFile(file, "utf8");
    expect(text).toContain(receipt.id);
    expect(text).not.toContain(receipt.core.response.body ?? "-");
    const { stdout, code } = await cli("verify", file, "--json");
    expect([0, 2]).toContain(code);
    expect(JSON.parse(stdout)).toMatchObject({ receipt: { id: receipt.id } });
  });
});

describe("stdout is data and stderr is for people", () => {
  test("--json before or after the command prints one document and nothing else", async () => {
    for (const args of [
      ["--json", "spending"],
      ["spending", "--json"],
    ]) {
      const { stdout } = await cli(...args);
      expect(JSON.parse(stdout)).toHaveProperty("assets");
    }
    const bought = await buy("--json", "--seller", "honest");
    expect(JSON.parse(bought.stdout)).toMatchObject({ paidNow: true });
    expect(bought.stderr).toContain("[5/7]");
  });

  test("an error with --json is a document with code, money and what to do", async () => {
    const refused = await buy("--json", "--seller", "nobody");
    expect(refused.code).toBe(1);
    expect(JSON.parse(refused.stdout)).toMatchObject({ error: { code: "seller_not_found", money: "not-moved" } });
    const unreadable = await cli("verify", "/nonexistent.json", "--json");
    expect(unreadable.code).toBe(64);
    expect(JSON.parse(unreadable.stdout)).toMatchObject({ error: { code: "receipt_unreadable" } });
  });

  test("no colour where stdout is no terminal, also in CI", async () => {
    const { stdout } = await runCli(["--config", config, "verify", receiptFile], {
      env: { CI: "1", NO_COLOR: "" },
      apart: true,
    });
    expect(stdout).not.toContain("\u001b[");
  });

  test("a reader that stops early is no error", async () => {
    const child = spawn(process.execPath, [CLI, "--config", config, "receipts", "show", receipt.id, "--json"], {
      stdio: ["ignore", "pipe", "pipe"],
    });
    let complaint = "";
    child.stderr.on("data", (chunk: Buffer) => (complaint += chunk.toString()));
    child.stdout.destroy();
    await once(child, "close");
    expect(complaint).toBe("");
  });
});

describe("buy", () => {
  test("ends by what is known: 0 answered, 1 failed, 0 verified when it waits", async () => {
    expect((await buy("--seller", "honest")).code).toBe(0);
    expect((await buy("--seller", "honest", "--wait", "verified")).code).toBe(0);
    const cheated = await buy("--seller", "tampering");
    expect(cheated.code).toBe(1);
    expect(cheated.stdout).toContain("DO NOT act");
  });

  test("ends with 2 for an unverified answer, and its help says when that is", async () => {
    const unproven = await buy("--seller", "unattested", "--assurance", "none");
    expect([unproven.code, unproven.stdout]).toEqual([2, expect.stringContaining("UNVERIFIED")]);
    expect((await runCli(["buy", "--help"])).stdout).toContain("2 unverified");
    expect((await runCli(["--help"])).stdout).toContain("buy: unverified, as every purchase with --assurance none is");
  });

  test("tells a person amounts by the token's name, few digits, and one limit a line", async () => {
    const { stdout } = await buy("--seller", "honest", "--wait", "verified");
    expect(stdout).toMatch(
      /^"honest" sold "eth-risk" for 0\.01 USDC \(\$0\.01\), \S+Z\nAsked {5}\{.+\}\nAnswered {2}\{.+\} \(the/,
    );
    expect(stdout).toContain("Paid: 0.01 USDC ($0.01) on eip155:31337.");
    expect(stdout).not.toMatch(/0x[0-9a-f]{40}/);
    expect(stdout).not.toMatch(/[1-9]\d*\.\d{6}|\.0*[1-9]\d{6}/);
    expect(stdout).toMatch(/^Not proven:$/m);
    for (const line of stdout.split("\n")) expect(line.length).toBeLessThan(250);
    const { stdout: listed } = await cli("receipts", "list", "--limit", "1");
    expect(listed).toMatch(/^\S+Z +verified +attested +0\.01 USDC \(\$0\.01\) +honest\/eth-risk +p402_\S+$/m);
  });

  test("that waits for a verdict it cannot have ends with 2", async () => {
    const path = await variant("blind", (own) => {
      own.database = "blind.db";
      for (const one of own.networks) one.rpcUrl = "http://127.0.0.1:1";
    });
    const { code, stdout } = await runCli(["--config", path, "receipts", "list", "--json"]);
    expect([code, JSON.parse(stdout)]).toEqual([
      0,
      {
        receipts: [],
        total: 0,
        isMore: false,
        isPartial: false,
        more: null,
        next: `Buy with: proof402 buy MODEL --input '{"NAME":VALUES}'`,
      },
    ]);
    const answered = await runCli([
      "--config",
      path,
      "buy",
      "eth-risk",
      "--input",
      input,
      "--seller",
      "honest",
      "--json",
    ]);
    expect(answered.code).toBe(0);
    expect(JSON.parse(answered.stdout)).toMatchObject({ receipt: { verdict: "pending" } });
    const { id } = (JSON.parse(answered.stdout) as { receipt: { id: string } }).receipt;
    expect((await runCli(["--config", path, "verify", id])).code).toBe(2);
  });

  test("with the same --key does not pay again", async () => {
    const key = crypto.randomUUID();
    const [first, again] = [
      await buy("--json", "--seller", "honest", "--key", key),
      await buy("--json", "--seller", "honest", "--key", key),
    ];
    expect(JSON.parse(first.stdout)).toMatchObject({ paidNow: true });
    expect(JSON.parse(again.stdout)).toMatchObject({ paidNow: false });
  });

  test("takes its input from a file or from standard input", async () => {
    const file = join(market.directory, "input.json");
    await writeFile(file, input);
    expect((await cli("buy", "eth-risk", "--input", `@${file}`, "--seller", "honest")).code).toBe(0);
    expect(
      (await runCli(["--config", config, "buy", "eth-risk", "--input", "-", "--seller", "honest"], { stdin: input }))
        .code,
    ).toBe(0);
  });

  test.each([
    ["--max-usd", "lots"],
    ["--max-usd", "-1"],
    ["--max-usd", "0x10"],
    ["--max-usd", ""],
    ["--assurance", "sure"],
    ["--wait", "forever"],
    ["--key", "short"],
  ])("%s %s is refused", async (...option) => {
    const { code, stderr } = await buy("--seller", "honest", ...option);
    expect(code).toBe(64);
    expect(stderr).not.toBe("");
    expect(stderr, "the command's own words").toContain(option[0]);
    expect(stderr).not.toMatch(/buy_inference|max_usd|idempotency_key/);
  });

  test("what cannot be read is said in people's words, with the command's own help", async () => {
    const missing = await cli("buy", "eth-risk", "--input", "@nofile.json");
    expect([missing.code, missing.stderr]).toEqual([64, expect.stringContaining("could not be read from nofile.json")]);
    const sum = await buy("--seller", "honest", "--max-usd", "abc");
    expect([sum.code, sum.stderr]).toEqual([64, expect.stringContaining("--max-usd takes a number such as 0.05")]);
    const other = await cli("verify", "package.json");
    expect([other.code, other.stderr]).toEqual([64, expect.stringMatching(/^(?!.*discriminator).*receipt_malformed/)]);
    const option = await cli("receipts", "show", "--nonsense");
    expect([option.code, option.stderr]).toEqual([64, expect.stringContaining("See proof402 receipts show --help.")]);
    const named = await cli("--json", "sellers", "add");
    expect(JSON.parse(named.stdout)).toMatchObject({ error: { next: "See proof402 sellers add --help." } });
  });

  test.each([
    [["receipts", "list", "--limit", "many"]],
    [["receipts", "list", "--limit", "0"]],
    [["receipts", "show", `p402_${"a".repeat(52)}`, "--wait", "1e9"]],
    [["devnet", "--dir", "nowhere", "--block-seconds", "soon"]],
  ])("unreadable numbers are refused: %j", async (args) => {
    const { code, stdout } = await cli("--json", ...args);
    expect([code, JSON.parse(stdout)]).toMatchObject([
      64,
      { error: { code: "usage", message: expect.stringContaining(`${args.at(-2)} takes a whole number`) } },
    ]);
  });

  test("above the caller's own bound is refused, and nothing is paid", async () => {
    const { code, stdout } = await buy("--json", "--seller", "honest", "--max-usd", "0.001");
    expect(code).toBe(1);
    expect(JSON.parse(stdout)).toMatchObject({ error: { money: "not-moved" } });
  });

  test("interrupted says that money may have moved, and how to go on without paying twice", async () => {
    // The chain cannot be seen, so it waits for the verdict until it is interrupted.
    const path = await variant("interrupted", (own) => {
      own.database = "interrupted.db";
      for (const one of own.networks) one.rpcUrl = "http://127.0.0.1:1";
    });
    const args = ["--config", path, "buy", "eth-risk", "--input", input, "--seller", "honest", "--json"];
    const child = spawn(process.execPath, [CLI, ...args, "--wait", "verified"]);
    let told = "";
    let data = "";
    child.stdout.on("data", (chunk: Buffer) => (data += chunk.toString()));
    child.stderr.on("data", (chunk: Buffer) => {
      told += chunk.toString();
      if (told.includes("[7/7]") && !child.killed) child.kill("SIGINT");
    });
    expect(await once(child, "close")).toEqual([130, null]);
    expect(JSON.parse(data)).toMatchObject({ error: { code: "aborted", money: "may-move" } });
    const [, key = ""] = /--key (\S+)/.exec(told) ?? [];
    const again = await runCli([...args, "--key", key]);
    expect(JSON.parse(again.stdout)).toMatchObject({ paidNow: false, receipt: { verdict: "pending" } });
    const { recent } = JSON.parse((await runCli(["--config", path, "spending", "--json"])).stdout) as {
      recent: unknown[];
    };
    expect(recent).toHaveLength(1);
  });
});

describe("wallet", () => {
  test("shows what it holds, and gives Permit2 exactly what was asked for and takes it back", async () => {
    type Shown = { address: string; assets: { symbol: string; balance: string; permit2Allowance: string }[] };
    const show = async (): Promise<Shown> => JSON.parse((await cli("wallet", "show", "--json")).stdout) as Shown;
    expect((await show()).assets).toMatchObject([
      { symbol: "USDC", permit2Allowance: "0" },
      { symbol: "DAI", permit2Allowance: "0" },
    ]);
    const given = await cli("wallet", "approve", "--asset", "DAI", "--amount", "1.25", "--yes");
    expect(given).toMatchObject({ code: 0, stderr: expect.stringContaining("Lets Permit2") });
    expect(given.stdout).toMatch(
      /Done in 0x[0-9a-f]{64}, \d+ gas, which cost [\d.]+ of the chain's own coin\. Permit2 may now move 1\.25 DAI \(\$1\.25\)\./,
    );
    expect((await show()).assets[1]?.permit2Allowance).toBe("1250000000000000000");
    expect((await cli("wallet", "approve", "--asset", "DAI", "--amount", "0", "--yes")).code).toBe(0);
    expect((await show()).assets[1]?.permit2Allowance).toBe("0");
  });

  test.each([
    [["--asset", "USDC", "--amount", "5"], "approval_declined"],
    [["--asset", "USDC", "--amount", "5000000", "--yes"], "approval_too_wide"],
    [["--asset", "USDC", "--amount", "0.0000001", "--yes"], "invalid_input"],
    [["--asset", "USDC", "--amount", "-5", "--yes"], "invalid_input"],
    [["--asset", "USDC", "--amount", "unlimited", "--yes"], "invalid_input"],
    [["--asset", "WETH", "--amount", "5", "--yes"], "asset_not_allowed"],
  ])("approves nothing by %j", async (args, error) => {
    const { code, stderr } = await cli("wallet", "approve", ...args);
    expect(code).not.toBe(0);
    expect(stderr).toContain(`Error ${error}:`);
  });
});

describe("models", () => {
  test("are listed with one description for all of their sellers", async () => {
    const { stdout } = await cli("models", "eth-risk");
    expect(stdout.match(/seller says/g)).toHaveLength(1);
    expect(stdout).toMatch(/^ {2}honest: 0\.01 USDC \(\$0\.01\); assurance attested \(simulated hardware\); ready$/m);
  });

  test("that no seller lists are an error, which names those that are listed", async () => {
    const { code, stderr } = await cli("models", "honest");
    expect(code).toBe(1);
    expect(stderr).toMatch(/model_not_found[^]*Choose one of: .*eth-risk/);
  });
});

describe("sellers", () => {
  test("are listed, held with the reason, and released by their owner alone", async () => {
    const path = await variant("holding", (own) => (own.database = "holding.db"));
    const on = (...args: string[]) => runCli(["--config", path, ...args]);
    const failed = await on("buy", "eth-risk", "--input", input, "--seller", "tampering");
    expect([failed.code, failed.stderr]).toEqual([1, expect.stringContaining("Seller tampering is on hold")]);
    expect(failed.stderr).toContain("proof402 sellers release tampering");
    const listed = (await on("sellers")).stdout;
    expect(listed).toMatch(
      /^tampering http\S+ \(attested\): ON HOLD since \S+: response: output_hash_mismatch; receipt p402_/m,
    );
    expect(listed).toContain("proof402 sellers release tampering");
    expect(listed).toMatch(/^honest http\S+ \(attested\): ready$/m);
    // What an agent follows leads to the reason, and not past it.
    const { next } = JSON.parse((await on("sellers", "--json")).stdout) as { next: string };
    expect(next).toMatch(/^Nothing is bought from tampering.* proof402 receipts show p402_\w+$/);
    expect((await on("sellers", "release", "tampering")).code).toBe(0);
    expect((await on("sellers", "--json")).stdout).toContain('"hold": null');
    const again = await on("sellers", "release", "tampering");
    expect(again).toMatchObject({ code: 1, stderr: expect.stringContaining("seller_not_on_hold") });
    const unknown = await on("sellers", "release", "nemo");
    expect(unknown).toMatchObject({ code: 1, stderr: expect.stringMatching(/seller_not_found[^]*nemo[^]*honest/) });
  });
});

describe("channel", () => {
  test("is opened, listed and asked back", async () => {
    const opening = ["channel", "open", "--seller", "honest", "--asset", "USDC", "--amount", "0.25", "--yes"];
    const opened = await cli(...opening, "--json");
    expect(opened.stderr).toContain("Puts 0.25 USDC ($0.25)");
    const { id } = JSON.parse(opened.stdout) as { id: string };
    expect((await cli("channel", "list")).stdout).toMatch(
      new RegExp(`${id} with honest .*, open: 0\\.25 USDC \\(\\$0\\.25\\) put in, 0 USDC \\(\\$0\\.00\\) granted`),
    );
    expect((await cli("channel", "close", id, "--yes")).stdout).toContain("Run the same command again");
    const again = await cli("channel", "close", id, "--yes");
    expect(again).toMatchObject({ code: 1, stderr: expect.stringContaining("withdrawal_waiting") });
  });

  test.each([
    [["open", "--seller", "nobody", "--asset", "USDC", "--amount", "1", "--yes"], "seller_not_found"],
    [["open", "--seller", "honest", "--asset", "USDC", "--amount", "1"], "approval_declined"],
    [["open", "--seller", "honest", "--asset", "USDC", "--amount", "1000000", "--yes"], "deposit_too_large"],
    [["close", "0x12", "--yes"], "channel_missing"],
  ])("does nothing by %j", async (args, error) => {
    const { code, stderr } = await cli("channel", ...args);
    expect(code).not.toBe(0);
    expect(stderr).toContain(`Error ${error}:`);
  });
});

describe("a command in a process of its own", () => {
  // The other tests' commands share one.
  test.each([
    ["verify", () => receiptFile],
    ["verify", () => receipt.id],
    ["receipts", "list"],
    ["audit"],
    ["models"],
    ["sellers"],
    ["wallet"],
    ["channel", "list"],
    ["verify", "/nonexistent.json"],
  ])("ends by itself and prints the same: %s %s", async (...words) => {
    const args = ["--config", config, ...words.map((word) => (typeof word === "string" ? word : word()))];
    // A process that starts may take long enough to say what it does.
    const result = ({ stderr, ...rest }: Awaited<ReturnType<typeof runCli>>) => ({
      ...rest,
      stderr: stderr.replace(/^.+ \.\.\.\n/gm, ""),
    });
    expect(result(await runCli(args, { apart: true }))).toEqual(result(await runCli(args)));
  });

  test("ends by itself after a purchase, and after one that waits for its verdict", async () => {
    const args = ["--config", config, "buy", "eth-risk", "--input", input, "--seller", "honest"];
    for (const wait of [[], ["--wait", "verified"]])
      expect(await runCli([...args, ...wait], { apart: true })).toMatchObject({ code: 0 });
  });
});

describe("a database that cannot be used", () => {
  test("is named", async () => {
    const path = await variant("spoiled", (own) => (own.database = "spoiled.db"));
    await writeFile(
      join(market.directory, "spoiled.db"),
      "this is no database, and longer than a header of one would be".repeat(40),
    );
    for (const args of [["spending"], ["audit"], ["receipts"]]) {
      const { code, stderr } = await runCli(["--config", path, ...args]);
      expect(code).toBe(1);
      expect(stderr).toMatch(/database_unusable.*spoiled\.db/s);
    }
  });
});

describe("what needs no chain", () => {
  test("wallet address prints the configured key's address, without an RPC and a database", async () => {
    const path = await variant("address", (own) => {
      own.database = "/nonexistent/directory/x.db";
      for (const one of own.networks) one.rpcUrl = "http://127.0.0.1:1";
    });
    const { address } = market.devnet.wallet;
    const shown = await runCli(["--config", path, "wallet", "address"]);
    expect(shown).toEqual({ code: 0, stdout: `${address}\n`, stderr: "" });
    const asData = await runCli(["--config", path, "wallet", "address", "--json"]);
    expect(JSON.parse(asData.stdout)).toEqual({ address, next: expect.stringContaining("proof402 wallet show") });
  });

  test("models lists from the sellers alone: no key is read and no chain is asked", async () => {
    const asked: string[] = [];
    const rpc = createServer((request, response) => {
      asked.push(request.url ?? "");
      response.destroy();
    });
    await new Promise<void>((listening) => rpc.listen(0, "127.0.0.1", listening));
    try {
      const path = await variant("listing", (own) => {
        own.wallet = { privateKeyFile: "no-such.key" };
        for (const one of own.networks) one.rpcUrl = `http://127.0.0.1:${(rpc.address() as AddressInfo).port}`;
      });
      const listed = await runCli(["--config", path, "models", "--json"]);
      expect([listed.code, listed.stderr]).toEqual([0, ""]);
      expect(JSON.parse(listed.stdout)).toEqual(JSON.parse((await cli("models", "--json")).stdout));
      expect(asked).toEqual([]);
    } finally {
      rpc.close();
    }
  });
});

describe("devnet", () => {
  /** The setups of a devnet that ran: another takes seconds to make the same. */
  let setups: string | null = null;

  test("writes a configuration that works, says where on one line, and stops at a signal", async () => {
    const directory = await mkdtemp(join(tmpdir(), "proof402-cli-"));
    const made = await setupsSoFar();
    if (made !== null) await cp(made, join(directory, "market/devnet-proving"), { recursive: true });
    const child = spawn(process.execPath, [CLI, "devnet", "--dir", join(directory, "market"), "--json"], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    try {
      const [line] = (await once(createInterface({ input: child.stdout }), "line")) as [string];
      const ready = JSON.parse(line) as {
        config: string;
        files: string[];
        provingFolder: string;
        rpcUrl: string;
        sellers: Record<string, { origin: string }>;
      };
      expect(line).not.toMatch(/[0-9a-f]{64}/);
      expect((await stat(join(directory, "market/buyer.key"))).mode & 0o777).toBe(0o600);
      const named = [...ready.files, ready.provingFolder].map((path) => basename(path)).toSorted();
      expect(await readdir(join(directory, "market"))).toEqual(named);
      const kept = join(market.directory, "setups");
      await cp(ready.provingFolder, kept, { recursive: true });
      setups = kept;
      const models = await runCli(["--config", ready.config, "models", "--json"]);
      expect(JSON.parse(models.stdout)).toMatchObject({ unreachable: [] });
      // The cheapest that claims to prove lies. It is on hold then, and the next is asked.
      const proven = ["buy", "eth-risk", "--input", JSON.stringify(ETH_FEATURES), "--assurance", "proven"];
      const wait = ["--wait", "verified", "--config", ready.config];
      const forged = await runCli([...proven, ...wait]);
      expect([forged.code, forged.stdout]).toEqual([1, expect.stringMatching(/FAILED[^]*computation: proof_invalid/)]);
      const honest = await runCli([...proven, ...wait]);
      expect([honest.code, honest.stdout]).toEqual([0, expect.stringMatching(/VERIFIED[^]*Assurance reached: proven/)]);
      expect(honest.stderr).toContain("[later] background checks: the verdict is verified (settlement pass, ");
      child.kill("SIGTERM");
      expect(await once(child, "exit")).toEqual([0, null]);
      await expect(fetch(ready.rpcUrl, { method: "POST" })).rejects.toThrow(/fetch failed/);
    } finally {
      child.kill("SIGKILL");
      await rm(directory, { recursive: true, force: true });
    }
  });

  test("does not write over a configuration of a real network", async () => {
    const directory = await mkdtemp(join(tmpdir(), "proof402-cli-"));
    const own = join(directory, ".proof402");
    await mkdir(own);
    const written = (await readFile(config, "utf8")).replaceAll("eip155:31337", "eip155:8453");
    await writeFile(join(own, "proof402.config.json"), written);
    const { code, stderr } = await runCli(["devnet"], { cwd: directory });
    expect(code).toBe(64);
    expect(stderr).toContain("config_exists");
    expect(await readFile(join(own, "proof402.config.json"), "utf8")).toBe(written);
    await rm(directory, { recursive: true, force: true });
  });

  test("starts again in its own folder, with the key that is there", async () => {
    const directory = await mkdtemp(join(tmpdir(), "proof402-cli-"));
    const [gone] = market.devnet.settings.networks.map((network) => ({ ...network, rpcUrl: "http://127.0.0.1:9" }));
    const before = {
      ...market.devnet,
      settings: { ...market.devnet.settings, networks: gone === undefined ? [] : [gone] },
    };
    const written = await writeDevnet(before, directory);
    const init = ["init", "--network", "devnet", "--devnet", directory, "--wallet", "file"];
    const early = await runCli(["--config", join(directory, "own.json"), ...init]);
    expect(early.stderr).toContain(`devnet_stopped: The devnet of ${directory} is not running.`);
    expect(early.stderr).toContain(`proof402 devnet --dir ${directory}`);
    if (setups !== null) await cp(setups, join(directory, "devnet-proving"), { recursive: true });
    const child = spawn(process.execPath, [CLI, "devnet", "--dir", directory, "--json"], {
      stdio: ["ignore", "pipe", "pipe"],
    });
    const told = readStream(child.stderr);
    try {
      const [line] = (await once(createInterface({ input: child.stdout }), "line")) as [string];
      expect(JSON.parse(line)).toMatchObject(written);
      expect(await readFile(join(directory, "buyer.key"), "utf8")).toBe(`${market.devnet.privateKey}\n`);
      const { stdout } = await runCli(["--config", written.config, "wallet", "show"]);
      expect(stdout).toContain("USDC on eip155:31337: holds 100 USDC ($100.00);");
    } finally {
      child.kill("SIGTERM");
      // What was bought on the market before does not verify by the new root.
      expect(await told).toMatch(
        /^Loading[^]*chain \.\.\.\n[^]*proving keys[^]*sellers \.\.\.\n[^]*another hardware root/,
      );
      await rm(directory, { recursive: true, force: true });
    }
  });

  test("leaves a market alone that still runs in the folder, and says how to end it", async () => {
    const directory = await mkdtemp(join(tmpdir(), "proof402-cli-"));
    const written = await writeDevnet(market.devnet, directory);
    const before = await readFile(written.config, "utf8");
    const { code, stderr } = await runCli(["devnet", "--dir", directory]);
    expect([code, stderr]).toEqual([1, expect.stringContaining("devnet_running")]);
    expect(stderr).toContain(`Ctrl-C in its terminal (or: kill ${process.pid})`);
    expect(await readFile(written.config, "utf8")).toBe(before);
    await rm(directory, { recursive: true, force: true });
  });

  test("does not take the place of a key that is not its own", async () => {
    const directory = await mkdtemp(join(tmpdir(), "proof402-cli-"));
    await writeFile(join(directory, "buyer.key"), "their only copy\n", { mode: 0o600 });
    const { code, stderr } = await runCli(["devnet", "--dir", directory]);
    expect([code, stderr]).toEqual([64, expect.stringContaining("file_exists")]);
    expect(await readdir(directory)).toEqual(["buyer.key"]);
    expect(await readFile(join(directory, "buyer.key"), "utf8")).toBe("their only copy\n");
    await rm(directory, { recursive: true, force: true });
  });

  test.each([
    ["--ports", "chain"],
    ["--ports", "moon=1"],
    ["--ports", "chain=70000"],
    ["--block-seconds", "soon"],
  ])("%s %s is a usage error", async (...option) => {
    expect((await runCli(["devnet", "--dir", join(tmpdir(), "never-made"), ...option])).code).toBe(64);
  });
});

describe("receipts", () => {
  test("export writes over no file", async () => {
    const file = join(market.directory, "theirs.json");
    await writeFile(file, "theirs");
    const { code, stderr } = await cli("receipts", "export", receipt.id, file);
    expect([code, stderr]).toEqual([64, expect.stringContaining("file_exists")]);
    expect(await readFile(file, "utf8")).toBe("theirs");
  });

  test("export names its file as a shell reads it", async () => {
    const file = join(market.directory, "Anna's receipt.json");
    const { stderr } = await cli("receipts", "export", receipt.id, file);
    expect(stderr).toContain(`proof402 verify '${file.replace("'", `'\\''`)}' --trust`);
  });

  test("export to - prints the receipt and nothing else, with --json too", async () => {
    for (const [more, bodies] of [
      [[], true],
      [["--json"], true],
      [["--redact-request"], false],
    ] as const) {
      const { code, stdout, stderr } = await cli("receipts", "export", receipt.id, "-", ...more);
      expect([code, stderr]).toEqual([0, ""]);
      const read = parseReceipt(stdout);
      if (!read.ok) throw new Error(read.message);
      expect(read.receipt.id).toBe(receipt.id);
      expect(typeof read.receipt.core.request.body === "string").toBe(bodies);
      expect(stdout).toBe(Buffer.from(serializeReceipt(read.receipt)).toString("utf8"));
    }
  });

  test("export names the file it writes", async () => {
    const file = join(market.directory, "named.json");
    expect((await cli("receipts", "export", receipt.id, file)).stderr).toMatch(
      `Wrote ${file}\nOthers check it with: proof402 verify `,
    );
    const trust = join(market.directory, "named-trust.json");
    expect((await cli("trust", "export", trust)).stderr).toContain(`Wrote ${trust},`);
  });

  test("import judges by this configuration, not by the file", async () => {
    const path = await variant("strict", (own) => {
      own.database = "strict.db";
      own.verification = { ...own.verification, simulatedRoots: [] };
    });
    const { stdout, code } = await runCli(["--config", path, "receipts", "import", receiptFile, "--json"]);
    expect(code).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({ receipt: { id: receipt.id, verdict: "failed" } });
    expect((await runCli(["--config", path, "receipts", "list"])).stdout).toMatch(/ {2}imported$/m);
    expect((await cli("receipts", "list")).stdout).not.toContain("imported");
    const buyer = await openBuyer({ config: await loadConfig({ path }), wallet: null });
    expect((await buyer.audit()).ok).toBe(true);
    await buyer.close();
  });
});
