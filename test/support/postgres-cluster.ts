import { execFileSync, spawn, type ChildProcess } from "node:child_process";
import { chownSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { createServer, type AddressInfo } from "node:net";
import { join } from "node:path";
import pg from "pg";
import { setTimeout as sleep } from "node:timers/promises";

const LIBRARIES = "/usr/lib/postgresql";

/** Debian's PostgreSQL, the newest that is installed. */
function programs(): string {
  const versions = readdirSync(LIBRARIES).toSorted((a, b) => Number(b) - Number(a));
  return join(LIBRARIES, versions[0] ?? "", "bin");
}

/** PostgreSQL refuses to run as root: its package's own user runs it then. */
const asOther = (command: string, args: readonly string[]): [string, string[]] =>
  process.getuid?.() === 0
    ? ["setpriv", ["--reuid=postgres", "--regid=postgres", "--clear-groups", command, ...args]]
    : [command, [...args]];

const words = (line: string): string[] => line.split(" ");

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

/** A server of its own, with its own data folder and port, on loopback only. */
export type Cluster = {
  /** Address of a database in it, whose user may do all. */
  url: string;
  /**
   * Kills the server as a lost machine would be, and starts it again over the same data: by its own immediate shutdown, or as
   * the system kills a process.
   */
  crash(signal?: "SIGQUIT" | "SIGKILL"): Promise<void>;
  stop(): Promise<void>;
};

/** `durable`: its commits wait for the disk, as an owner's server's do. */
export async function startPostgres({ durable = false } = {}): Promise<Cluster> {
  // Not in the run's own folder: that is its owner's alone, and the server has another user.
  const folder = mkdtempSync("/tmp/proof402-postgres-");
  if (process.getuid?.() === 0) {
    const id = (flag: string): number => Number(execFileSync("id", [flag, "postgres"], { encoding: "utf8" }));
    chownSync(folder, id("-u"), id("-g"));
  }
  const data = join(folder, "data");
  const [make, making] = asOther(
    join(programs(), "initdb"),
    words(`-D ${data} -U proof402 --auth=trust -E UTF8 --locale=C --no-sync`),
  );
  execFileSync(make, making, { cwd: folder, stdio: "ignore" });
  const port = await freePort();
  const url = `postgres://proof402@127.0.0.1:${port}/postgres`;
  const start = async (): Promise<ChildProcess> => {
    // The server may be killed here, and the machine is not: what it wrote is in the system's hands.
    const unsafe = durable ? "" : " -c fsync=off -c full_page_writes=off";
    const settings = `-c max_connections=400 -c shared_buffers=64MB${unsafe}`;
    const place = `-D ${data} -p ${port} -k ${folder} -c listen_addresses=127.0.0.1`;
    const [command, args] = asOther(join(programs(), "postgres"), words(`${place} ${settings}`));
    const child = spawn(command, args, { cwd: folder, stdio: "ignore" });
    for (;;) {
      const client = new pg.Client({ connectionString: url });
      try {
        await client.connect();
        await client.end();
        return child;
      } catch (error) {
        if (child.exitCode !== null) throw error;
        await sleep(20);
      }
    }
  };
  let server = await start();
  const end = (signal: NodeJS.Signals): Promise<unknown> => {
    const ended = new Promise((resolve) => server.once("close", resolve));
    server.kill(signal);
    return ended;
  };
  return {
    url,
    async crash(signal = "SIGQUIT") {
      // PostgreSQL's immediate shutdown: no checkpoint, recovery at the next start.
      await end(signal);
      for (let tries = 0; ; tries += 1) {
        try {
          server = await start();
          return;
        } catch (error) {
          // Until the killed server's own children are gone, no other may start over the data.
          if (tries > 100) throw error;
          await sleep(100);
        }
      }
    },
    async stop() {
      await end("SIGQUIT");
      rmSync(folder, { recursive: true, force: true });
    },
  };
}
