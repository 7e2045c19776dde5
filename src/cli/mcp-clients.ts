import { createHash, randomBytes } from "node:crypto";
import { dirname, join } from "node:path";
import type { Command } from "commander";
import * as z from "zod";
import { SCOPES, type McpClient } from "../../mcp-server/http/access.ts";
import { configPath } from "../config/load.ts";
import { Proof402Error } from "../errors.ts";
import { OTHERS, readTextFile } from "../files/read-file.ts";
import { replaceText } from "../files/replace.ts";
import { writeNew } from "../files/write-new.ts";
import { EXIT, globals, print, printResult, type GlobalOptions } from "./globals.ts";
import { decimal } from "./numbers.ts";

/** The name of the owner's own client. No other has it. */
export const OWNER = "owner";
/** The clients' file, beside the configuration. */
const CLIENTS_FILE = "mcp-clients.json";

const clientSchema = z.strictObject({
  /** Purchases count for it by this name, for as long as the database is kept. */
  name: z.string().regex(/^[A-Za-z0-9._-]{1,64}$/, "1 to 64 letters, digits, dots, dashes or underscores"),
  /** SHA-256 of its token, hex. */
  tokenSha256: z.string().regex(/^[0-9a-f]{64}$/, "64 hex digits"),
  scopes: z.array(z.enum(SCOPES)).max(2),
  /** The most it may spend in `per`, US dollars. Absent: the payment policy alone bounds it. */
  maxUsd: z.number().min(0).max(1e12).optional(),
  /** The budget's window, rolling. */
  per: z.enum(["hour", "day", "total"]).default("total"),
});
const fileSchema = z.strictObject({ clients: z.array(clientSchema).max(256) });

/** The clients' file: the named one, or the one beside the configuration. */
export const clientsPath = (named: string | undefined, { config }: GlobalOptions): string =>
  named ?? join(dirname(configPath(config)), CLIENTS_FILE);

/**
 * The clients of a file; none if it is missing and was not `named`. Throws Proof402Error `config_permissions` for a file open
 * to others, and `file_unreadable`.
 */
export async function readClients(path: string, { named = false }: { named?: boolean } = {}): Promise<McpClient[]> {
  const read = await readTextFile(path, { maxBytes: 1_000_000, denied: OTHERS.anything });
  if ("text" in read) return parsed(path, read.text);
  if (read.problem === "missing" && !named) return [];
  if (read.problem === "permissions") {
    throw new Proof402Error("config_permissions", `Others may read or change ${path}, which says who may buy.`, {
      next: `Run chmod 600 on it, and look at what it says. Its mode is ${read.mode}.`,
    });
  }
  throw unreadable(path, "cannot be read");
}

function parsed(path: string, text: string): McpClient[] {
  let data: unknown;
  try {
    data = JSON.parse(text);
  } catch {
    throw unreadable(path, "is no JSON");
  }
  const read = fileSchema.safeParse(data);
  if (!read.success) {
    const [issue] = read.error.issues;
    throw unreadable(path, `does not say which clients may call: ${issue?.path.join(".")}: ${issue?.message}`);
  }
  const { clients } = read.data;
  const twice = (key: "name" | "tokenSha256"): boolean => new Set(clients.map((one) => one[key])).size < clients.length;
  if (twice("name") || twice("tokenSha256")) throw unreadable(path, "names a client or a token twice");
  return clients;
}

const unreadable = (path: string, why: string): Proof402Error =>
  new Proof402Error("file_unreadable", `${path} ${why}.`, {
    next: "Mend it, or move it away and add the clients again with proof402 mcp-clients add.",
  });

/** `proof402 mcp-clients add`: a token of its own for one more client. It is shown this once, and kept as its hash. */
export async function addClient(
  name: string,
  { clients: file, buy, maxUsd, per }: { clients?: string; buy?: true; maxUsd?: string; per: McpClient["per"] },
  command: Command,
): Promise<number> {
  if (name === OWNER) {
    throw new Proof402Error("invalid_input", `"${OWNER}" is the owner's own name here. Nothing was written.`, {
      next: "Give the client another name.",
    });
  }
  const { json = false, ...rest } = globals(command);
  const path = clientsPath(file, rest);
  const most = maxUsd === undefined ? undefined : decimal(maxUsd, "--max-usd");
  const token = `p402_mcp_${randomBytes(32).toString("base64url")}`;
  const client = {
    name,
    tokenSha256: createHash("sha256").update(token).digest("hex"),
    scopes: buy === true ? SCOPES : (["read"] as const),
    ...(most === undefined ? {} : { maxUsd: most, per }),
  };
  await change(path, (before) => [...before, client]);
  const next = "Give the client its token, which is shown this once. A server that runs knows it at once.";
  if (json) printResult({ ...client, token, file: path }, next);
  else print(`${token}\n${next}`);
  return EXIT.ok;
}

/** `proof402 mcp-clients remove`: the client's token holds no more, at servers that run too. What it spent stays counted by its name. */
export async function removeClient(
  name: string,
  { clients: file }: { clients?: string },
  command: Command,
): Promise<number> {
  const { json = false, ...rest } = globals(command);
  const path = clientsPath(file, rest);
  await change(path, (before) => {
    const after = before.filter((one) => one.name !== name);
    if (after.length < before.length) return after;
    const names = before.map((one) => one.name).join(", ");
    throw new Proof402Error("invalid_input", `${path} has no client "${name}". Nothing was written.`, {
      next: names === "" ? "It has none." : `It has ${names}.`,
    });
  });
  const next = "Its token is refused from now on, and what it had open ends. A payment that was sent comes to its end.";
  if (json) printResult({ name, file: path }, next);
  else print(`Removed ${name}. ${next}`);
  return EXIT.ok;
}

/** Writes the file of clients, whole or not at all. */
async function change(path: string, edit: (before: readonly McpClient[]) => readonly object[]): Promise<void> {
  const read = await readTextFile(path, { maxBytes: 1_000_000, denied: OTHERS.anything });
  const after = `${JSON.stringify({ clients: edit(await readClients(path)) }, null, 2)}\n`;
  parsed(path, after);
  await ("text" in read ? replaceText(path, { before: read.text, after }) : writeNew(path, after, { mode: 0o600 }));
}
