import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { ReadBuffer, serializeMessage, type Transport } from "@modelcontextprotocol/server";

/** Variables of any program. Those of proof402 are not among them: keys and passwords stay in this process. */
const INHERITED =
  process.platform === "win32"
    ? [
        "APPDATA",
        "COMSPEC",
        "HOMEDRIVE",
        "HOMEPATH",
        "LOCALAPPDATA",
        "PATH",
        "PATHEXT",
        "SYSTEMROOT",
        "TEMP",
        "USERPROFILE",
      ]
    : ["HOME", "LANG", "LOGNAME", "PATH", "SHELL", "TERM", "TMPDIR", "USER"];

/** How long a server has to end by itself once its input has ended, and once it was told to, ms. */
const PATIENCE_MS = 2000;

/** A server as a process whose standard input and output carry the protocol. Its messages go to our standard error. */
export function spawnServer([command = "", ...args]: readonly string[], named: readonly string[]): Transport {
  const env = Object.fromEntries(
    [...INHERITED, ...named].flatMap((name) => {
      const value = process.env[name];
      return value === undefined ? [] : [[name, value]];
    }),
  );
  const buffer = new ReadBuffer();
  let child: ChildProcess | null = null;
  const transport: Transport = {
    async start() {
      const started = spawn(command, args, { env, stdio: ["pipe", "pipe", "inherit"], windowsHide: true });
      child = started;
      started.stdin.on("error", () => undefined);
      started.stdout.on("data", (chunk: Buffer) => {
        try {
          buffer.append(chunk);
          for (;;) {
            const message = readNext(buffer);
            if (message === null) break;
            if (message !== undefined) transport.onmessage?.(message);
          }
        } catch {
          // More than a message may have: what follows cannot be told apart.
          started.kill("SIGKILL");
        }
      });
      started.once("close", () => {
        child = null;
        transport.onclose?.();
      });
      await once(started, "spawn");
    },
    send: (message) =>
      new Promise((resolve, reject) => {
        if (child === null || child.stdin === null || !child.stdin.writable) {
          reject(new Error("The process has ended."));
          return;
        }
        child.stdin.write(serializeMessage(message), (error) => {
          if (error === null || error === undefined) resolve();
          else reject(error);
        });
      }),
    async close() {
      const ending = child;
      if (ending === null) return;
      const closed = once(ending, "close");
      ending.stdin?.end();
      for (const signal of ["SIGTERM", "SIGKILL"] as const) {
        const late = setTimeout(() => ending.kill(signal), PATIENCE_MS * (signal === "SIGTERM" ? 1 : 2));
        void closed.finally(() => clearTimeout(late));
      }
      await closed;
    },
  };
  return transport;
}

/** The next whole message, null if there is none yet, undefined for a line that is none. */
function readNext(buffer: ReadBuffer): ReturnType<ReadBuffer["readMessage"]> | undefined {
  try {
    return buffer.readMessage();
  } catch {
    return undefined;
  }
}
