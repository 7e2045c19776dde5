import { execFile, spawn, type ChildProcess } from "node:child_process";
import { connect, createServer } from "node:net";
import { promisify } from "node:util";

const run = promisify(execFile);

/** Every process that descends from one, as `pid command`. Zombies do not count: they hold nothing. */
export async function descendants(of: number = process.pid): Promise<string[]> {
  const { stdout } = await run("ps", ["-A", "-o", "pid=,ppid=,stat=,args="]);
  const all = stdout
    .trim()
    .split("\n")
    .map((line) => /^\s*(\d+)\s+(\d+)\s+(\S+)\s+(.*)$/.exec(line))
    .flatMap((found) => (found === null ? [] : [found.slice(1)]))
    .map(([pid, parent, state, args = ""]) => ({ pid: Number(pid), parent: Number(parent), state: state ?? "", args }));
  const under = (pid: number): typeof all => {
    const children = all.filter((one) => one.parent === pid);
    return [...children, ...children.flatMap((child) => under(child.pid))];
  };
  return under(of)
    .filter(({ state, args }) => !state.startsWith("Z") && !args.startsWith("ps -A"))
    .map(({ pid, args }) => `${pid} ${args}`);
}

/** Whether a process with this id exists. */
export async function isAlive(pid: number): Promise<boolean> {
  const { stdout } = await run("ps", ["-o", "stat=", "-p", String(pid)]).catch(() => ({ stdout: "" }));
  return stdout.trim() !== "" && !stdout.trim().startsWith("Z");
}

/** Whether somebody listens on this loopback address. */
export function listens(origin: string): Promise<boolean> {
  const { hostname, port } = new URL(origin);
  return new Promise((resolve) => {
    const socket = connect({ host: hostname, port: Number(port) });
    socket.once("connect", () => {
      socket.destroy();
      resolve(true);
    });
    socket.once("error", () => resolve(false));
  });
}

/** A program that waits for nothing but its end, and whose first line of output is returned. */
export async function firstLine(file: string): Promise<{ child: ChildProcess; line: string }> {
  const child = spawn(process.execPath, [file], { stdio: ["ignore", "pipe", "inherit"] });
  const line = await new Promise<string>((resolve, reject) => {
    let said = "";
    child.stdout.on("data", (chunk: Buffer) => {
      said += chunk.toString();
      if (said.includes("\n")) resolve(said.slice(0, said.indexOf("\n")));
    });
    child.once("exit", (code) => reject(new Error(`ended with ${code} before it said anything`)));
  });
  return { child, line };
}

/**
 * Ports that nobody holds, from below the range that systems hand out by themselves: nobody is given one of them between
 * this call and its use.
 */
export async function fixedPorts<Name extends string>(names: readonly Name[]): Promise<Record<Name, number>> {
  const found = new Set<number>();
  while (found.size < names.length) {
    const port = 20_000 + Math.floor(Math.random() * 12_000);
    if (await isFree(port)) found.add(port);
  }
  return Object.fromEntries(names.map((name, at) => [name, [...found][at]])) as Record<Name, number>;
}

function isFree(port: number): Promise<boolean> {
  const server = createServer();
  return new Promise((resolve) => {
    server.once("error", () => resolve(false));
    server.listen(port, "127.0.0.1", () => server.close(() => resolve(true)));
  });
}
