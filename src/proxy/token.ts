import { createHash, randomBytes, timingSafeEqual } from "node:crypto";
import { OTHERS, readTextFile } from "../files/read-file.ts";
import { writeNew } from "../files/write-new.ts";
import { Proof402Error } from "../errors.ts";

const TOKEN = /^p402_(proxy|mcp)_[A-Za-z0-9_-]{43}$/;

/**
 * The bearer token of a server on this machine, in a file that its owner alone may read. The first start writes it.
 *
 * Throws Proof402Error `config_permissions` for a file that others may read, `file_unreadable` for one without a token, and
 * `file_unwritable`.
 */
export async function openToken(path: string, of: "proxy" | "mcp" = "proxy"): Promise<string> {
  const read = await readTextFile(path, { maxBytes: 1000, denied: OTHERS.anything });
  if ("text" in read) {
    const token = read.text.trim();
    if (TOKEN.exec(token)?.[1] === of) return token;
    throw unreadable(path, `holds no token of the ${SERVERS[of]}`);
  }
  if (read.problem === "permissions") {
    throw new Proof402Error(
      "config_permissions",
      `Others may read or change ${path}, which holds the ${SERVERS[of]}'s token.`,
      {
        next: `Delete the file: the next start writes a new token. Its mode is ${read.mode}.`,
      },
    );
  }
  if (read.problem !== "missing") throw unreadable(path, "cannot be read");
  const token = `p402_${of}_${randomBytes(32).toString("base64url")}`;
  await writeNew(path, `${token}\n`, { mode: 0o600 });
  return token;
}

const SERVERS = { proxy: "proxy", mcp: "MCP server" };

/** Whether an `authorization` header bears the token. Takes the same time for each wrong one. */
export function bears(token: string, authorization: string | undefined): boolean {
  const digest = (text: string): Buffer => createHash("sha256").update(text).digest();
  const given = /^Bearer +(\S+)$/i.exec(authorization ?? "")?.[1] ?? "";
  return timingSafeEqual(digest(given), digest(token));
}

const unreadable = (path: string, why: string): Proof402Error =>
  new Proof402Error("file_unreadable", `${path} ${why}.`, {
    next: "Move the file away: the next start writes a new token.",
  });
