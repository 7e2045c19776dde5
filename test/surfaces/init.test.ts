import { findDefaultAsset } from "@x402/evm";
import { spawn, spawnSync } from "node:child_process";
import { createCipheriv, pbkdf2Sync, randomBytes, randomUUID } from "node:crypto";
import { chmod, mkdir, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { loadConfig } from "../../src/config/load.ts";
import { PRESETS, RPC_PLACEHOLDER } from "../../src/config/new-config.ts";
import { writeDevnet } from "../../src/devnet/index.ts";
import { walletFromPrivateKey } from "../../src/payment/wallet.ts";
import { readAnswers } from "../../src/cli/init/answers.ts";
import type { Asker, Judge } from "../../src/cli/init/question.ts";
import { keccak256, toHex } from "../../src/evidence/bytes.ts";
import { CLI, runCli } from "../support/cli.ts";
import { ETH_FEATURES, openMarket, type Market } from "../support/devnet.ts";

const hasScript = spawnSync("script", ["--version"]).status === 0;
const CONFIG = "proof402.config.json";

let market: Market;
let left: string;
let cases = 0;
beforeAll(async () => {
  market = await openMarket();
  left = join(market.directory, "market");
  await writeDevnet(market.devnet, left);
});
afterAll(() => market.stop());

/** An empty home folder. */
async function newHome(): Promise<string> {
  cases += 1;
  const home = join(market.directory, `home-${cases}`);
  await mkdir(home);
  return home;
}

const inHome = (home: string, args: readonly string[], more: { stdin?: string; env?: Record<string, string> } = {}) =>
  runCli(args, { cwd: home, ...more, env: { HOME: home, ...more.env } });

test("from an empty folder: init by flags, doctor, and a verified purchase, with no file edited", async () => {
  const home = await newHome();
  const made = await inHome(home, ["init", "--network", "devnet", "--devnet", left, "--wallet", "file"]);
  expect(made.stderr).not.toContain("Error");
  expect(made.code).toBe(0);
  expect(made.stdout).toContain("The devnet sent 100 USDC ($100.00) of play money to it.");
  expect(made.stdout).toContain("All is well.");
  const key = join(home, ".proof402", "wallet.key");
  expect((await stat(key)).mode & 0o777).toBe(0o600);
  expect(made.stdout).not.toContain((await readFile(key, "utf8")).trim());
  expect((await inHome(home, ["doctor"])).code).toBe(0);
  const bought = await inHome(home, ["buy", "eth-risk", "--input", JSON.stringify(ETH_FEATURES), "--wait", "verified"]);
  expect(bought.stdout).toContain("VERIFIED");
  expect(bought.code).toBe(0);
});

test("without a person to ask, all flags that are missing are named at once, and nothing is written", async () => {
  const home = await newHome();
  const { code, stderr } = await inHome(home, ["init", "--seller", "https://risk.example.org"]);
  expect(code).toBe(64);
  for (const flag of ["--network", "--wallet", "--yes"]) expect(stderr).toContain(flag);
  expect((await inHome(home, ["init", "--network", "base", "--wallet", "keystore"])).stderr).toContain(
    "--password-file",
  );
  expect(await readdir(home)).toEqual([]);
});

test("T102: a real network: an imported key in a keystore, caps in dollars, and an RPC that doctor wants named", async () => {
  const home = await newHome();
  const key = market.devnet.privateKey;
  const { address } = walletFromPrivateKey(key);
  await writeFile(join(home, "password"), "a password\n", { mode: 0o600 });
  const args = ["init", "--network", "base", "--wallet", "keystore", "--password-file", "password", "--import", "-"];
  const env = { PROOF402_KEYSTORE_PASSWORD: "another password" };
  expect((await inHome(home, args, { stdin: `${key}\n`, env })).stderr).toContain("Two passwords are given");
  expect(await readdir(home)).toEqual(["password"]);
  const caps = ["--per-call", "0.02", "--per-hour", "$0.5"];
  const made = await inHome(home, [...args, ...caps, "--json"], { stdin: `${key}\n` });
  expect(made.code).toBe(0);
  const told = JSON.parse(made.stdout) as {
    address: string;
    doctor: { check: string; status: string; says: string }[];
    next: string;
  };
  expect(told.next).toMatch(/^Next: Put your RPC's address into networks/);
  expect(told.address).toBe(address);
  expect(told.doctor.find(({ check }) => check === "rpc")).toMatchObject({ status: "problem" });
  expect(told.doctor.find(({ check }) => check === "rpc")?.says).toContain(RPC_PLACEHOLDER);
  const config = await loadConfig({ path: join(home, ".proof402", CONFIG) });
  expect(config.payment.assets[0]).toMatchObject({ perCall: "20000", perHour: "500000", perDay: "5000000" });
  expect(await readFile(join(home, ".proof402", "keystore.json"), "utf8")).not.toContain(key.slice(2));
  // Neither an RPC nor the environment is needed to name the address, nor the keystore's password.
  await rm(join(home, "password"));
  expect((await inHome(home, ["wallet", "address"])).stdout).toBe(`${address}\n`);
  await writeFile(join(home, "password"), "a password\n", { mode: 0o600 });
  const again = await inHome(home, [...args, "--json"], { stdin: `${key}\n` });
  expect(again.stdout).toContain("file_exists");
  expect(again.stdout).toContain("Nothing was written. Name another place with --config FILE");
  expect(again.code).toBe(64);
});

test("T102: a key that stands there already is not written over, and a wrong one not taken", async () => {
  const home = await newHome();
  await mkdir(join(home, ".proof402"));
  await writeFile(join(home, ".proof402", "wallet.key"), "somebody's own");
  const args = ["init", "--network", "base-sepolia", "--wallet", "file"];
  expect((await inHome(home, args)).stderr).toContain("file_exists");
  expect(await readdir(join(home, ".proof402"))).toEqual(["wallet.key"]);
  const other = await inHome(await newHome(), [...args, "--import", "-"], { stdin: "0x12" });
  expect(other.stderr).toContain("private_key_invalid");
  expect(other.stderr).not.toContain("0x12");
});

test("T102: a key of the environment, which every command would pay from, is named before anything is made", async () => {
  const home = await newHome();
  const env = { PROOF402_PRIVATE_KEY: market.devnet.privateKey };
  const told = await inHome(home, ["init", "--network", "base-sepolia", "--wallet", "file"], { env });
  expect(told.code).toBe(64);
  expect(told.stderr).toContain("PROOF402_PRIVATE_KEY is set");
  expect(told.stderr).not.toContain(market.devnet.privateKey);
  expect(await readdir(home)).toEqual([]);
});

test("T102: folder and files are their owner's alone under any umask, and doctor tells of a group that may write", async () => {
  const home = await newHome();
  const folder = join(home, ".proof402");
  const command = `umask 000; exec '${process.execPath}' '${CLI}' init --network base-sepolia --wallet file`;
  spawnSync("sh", ["-c", command], { cwd: home, env: { HOME: home } });
  const modes = ["", CONFIG, "wallet.key"].map(async (name) => (await stat(join(folder, name))).mode & 0o777);
  expect(await Promise.all(modes)).toEqual([0o700, 0o600, 0o600]);
  const lineOf = async () => (await inHome(home, ["doctor"])).stdout.split("\n")[0];
  expect(await lineOf()).toContain("its owner alone may write to it");
  await chmod(folder, 0o775);
  expect(await lineOf()).toContain(`chmod g-w ${folder}`);
});

test("T102: a key file that others can read is refused as every command refuses it", async () => {
  const home = await newHome();
  await writeFile(join(home, "old.key"), `${market.devnet.privateKey}\n`, { mode: 0o644 });
  const args = ["init", "--network", "base-sepolia", "--wallet", "file", "--import", "old.key"];
  const told = await inHome(home, args);
  expect(told.stderr).toContain("Error key_file_permissions: The file of --import can be read by others");
  expect(told.stderr).toContain("Run chmod 600 on it");
  expect(await readdir(home)).toEqual(["old.key"]);
  await chmod(join(home, "old.key"), 0o600);
  expect((await inHome(home, args)).code).toBe(0);
});

test.each([
  [["--rpc", "foo"], "--rpc foo: An RPC's address begins with https://"],
  [["--per-call", "10", "--per-hour", "1"], "--per-hour 1 is less than --per-call 10"],
  [["--per-call", "2"], "--per-hour 1 (its default) is less than --per-call 2"],
  [["--per-call=-1"], "--per-call -1 is no amount of dollars"],
  [["--approve-above", "0.2"], "--approve-above 0.2 is more than --per-call 0.10 (its default)"],
  [["--devnet", "market"], "--devnet is for --network devnet"],
  [["--network", "devnet", "--rpc", "https://rpc.example.org"], "--rpc is not for a devnet"],
])("a flag that cannot be meant is named with its value: %j", async (flags, says) => {
  const home = await newHome();
  const told = await inHome(home, ["init", "--network", "base-sepolia", "--wallet", "file", ...flags]);
  expect(told.code).toBe(64);
  expect(told.stderr).toContain(`Error usage: ${says}`);
  expect(told.stderr).toContain("Nothing was written.");
  expect(await readdir(home)).toEqual([]);
});

test("the presets' tokens are those of x402's own packages", () => {
  for (const { network, token } of Object.values(PRESETS)) {
    const known = findDefaultAsset(token.asset, network);
    expect(known).toMatchObject({ name: token.domain.name, version: token.domain.version, decimals: token.decimals });
  }
});

/** A keystore that opens in no time: one round, where a real one has some 100,000. */
function quickKeystore(key: string, password: string): string {
  const [salt, iv] = [randomBytes(32), randomBytes(16)];
  const derived = pbkdf2Sync(password, salt, 1, 32, "sha256");
  const cipher = createCipheriv("aes-128-ctr", derived.subarray(0, 16), iv);
  const ciphertext = Buffer.concat([cipher.update(Buffer.from(key, "hex")), cipher.final()]);
  const crypto = {
    cipher: "aes-128-ctr",
    cipherparams: { iv: iv.toString("hex") },
    ciphertext: ciphertext.toString("hex"),
    kdf: "pbkdf2",
    kdfparams: { c: 1, dklen: 32, prf: "hmac-sha256", salt: salt.toString("hex") },
    mac: toHex(keccak256(new Uint8Array(Buffer.concat([derived.subarray(16), ciphertext])))),
  };
  return JSON.stringify({ crypto, id: randomUUID(), version: 3 });
}

test("each answer that cannot be used is asked for again with its fault", async () => {
  const home = await newHome();
  const inHomeOf = async (name: string, text: string): Promise<string> => {
    await writeFile(join(home, name), text, { mode: 0o600 });
    return join(home, name);
  };
  const [none, odd] = [join(home, "none"), await inHomeOf("odd", "no key")];
  const key = await inHomeOf("key", `0x${"11".repeat(32)}`);
  const keystore = await inHomeOf("keystore", quickKeystore("22".repeat(32), "the right one"));
  /** Answers question after question, and keeps the fault of each answer that is asked for again. */
  const answering = (...answers: (string | boolean)[]) => {
    const faults: string[] = [];
    const next = (): string => String(answers.shift());
    const until = async (check: Judge = () => undefined): Promise<string> => {
      for (;;) {
        const value = next();
        const fault = await check(value);
        if (fault === undefined) return value;
        faults.push(fault);
      }
    };
    const ask: Asker = {
      text: (_message, { check } = {}) => until(check),
      secret: (_message, check) => until(check),
      choose: (_message, options) => {
        const wanted = next();
        const found = options.find(({ value }) => value === wanted);
        if (found === undefined) throw new Error(`no choice ${wanted}`);
        return Promise.resolve(found.value);
      },
      agree: () => Promise.resolve(answers.shift() === true),
    };
    return { ask, faults, left: answers };
  };
  const rpc = ["ftp://rpc.example.org", "http://rpc.example.org", "rpc", "https://rpc.example.org"];
  const caps = ["much", "0.1234567", "0.5", "0.4", "1", "0.9", "2", "-1", "5", "0.6", "0.5"];
  const plain = answering("base", ...rpc, "file", "import", "", none, odd, key, false, ...caps);
  const made = await readAnswers({}, plain.ask);
  expect(made).toMatchObject({
    place: { rpcUrl: "https://rpc.example.org" },
    from: key,
    caps: { perCall: "0.5", perHour: "1", perDay: "2", total: "5", approveAbove: "0.5" },
  });
  expect(plain.faults).toEqual([
    ...Array<unknown>(3).fill(expect.stringContaining("begins with https://")),
    "Name a file.",
    expect.stringContaining("could not be read"),
    expect.stringContaining("private key"),
    expect.stringContaining("(much) is no amount of dollars"),
    expect.stringContaining("(0.1234567) is no amount of dollars"),
    expect.stringMatching(/\(0\.4\) is less than .*\(0\.5\)/),
    expect.stringMatching(/\(0\.9\) is less than .*\(1\)/),
    expect.stringContaining("(-1) is no amount of dollars"),
    expect.stringMatching(/\(0\.6\) is more than .*\(0\.5\)/),
  ]);
  const locked = answering(
    "base",
    "https://rpc.example.org",
    "keystore",
    "import",
    keystore,
    true,
    "a wrong one",
    "the right one",
  );
  expect(await (await readAnswers({}, locked.ask)).password()).toBe("the right one");
  expect(locked.faults).toEqual([expect.stringContaining("password")]);
  expect([plain.left, locked.left]).toEqual([[], []]);
});

describe.runIf(hasScript)("at a terminal", () => {
  test("a person answers question by question, and a wrong answer is asked for again in its place", async () => {
    const home = await newHome();
    const DOWN = "\u001b[B";
    // An answer that is asked for again waits for its question, which follows the fault.
    const questions: [question: string | RegExp, keys: string][] = [
      ["Where is money to be spent?", `${DOWN}${DOWN}\r`],
      ["Folder of the running devnet", `${left}/none\r`],
      [/No devnet wrote its market.*Folder of the running devnet/s, `${left}\r`],
      ["How is the wallet's key kept?", "\r"],
      ["Which key?", "\r"],
      ["Is that right?", `${DOWN}\r`],
      ["Most for one call, in dollars", "10\r"],
      ["Most in an hour", "1\r"],
      [/\) is less than .*Most in an hour/s, "10\r"],
      ["Most in a day", "10\r"],
      ["Most in all", "\r"],
      ["Ask a person above", "\r"],
      ["Password of the keystore", "short\r"],
      [/It has fewer than 8 characters.*Password of the keystore/s, "a long password\r"],
      ["The same password again", "a wrong password\r"],
      [/It differs from the first one.*The same password again/s, "a long password\r"],
    ];
    const child = spawn(
      "script",
      ["--quiet", "--return", "--command", `stty cols 200 rows 50; '${process.execPath}' '${CLI}' init`, "/dev/null"],
      {
        env: { PATH: process.env["PATH"], HOME: home, NO_COLOR: "1" },
        cwd: home,
      },
    );
    let said = "";
    child.stdout.on("data", (chunk: Buffer) => {
      said += chunk.toString();
      const [next] = questions;
      if (next === undefined) return;
      const [asked] = next;
      if (!(typeof asked === "string" ? said.includes(asked) : asked.test(said))) return;
      questions.shift();
      child.stdin.write(next[1]);
    });
    const code = await new Promise((resolve, reject) => {
      child.on("error", reject);
      child.on("close", resolve);
    });
    expect(questions).toEqual([]);
    expect(said).toContain("All is well.");
    expect(said).toContain("name that file in wallet.keystorePasswordFile");
    expect(code).toBe(0);
    expect((await loadConfig({ path: join(home, ".proof402", CONFIG) })).sellers.map(({ id }) => id)).toEqual([
      "honest",
    ]);
  });
});
