/**
 * Finds a module of Node's own if this runs there, and undefined in a browser. Nothing is imported for it, so one build serves both.
 */
const builtIn = (globalThis as { process?: Partial<Pick<NodeJS.Process, "getBuiltinModule">> }).process
  ?.getBuiltinModule;

/** Node's own crypto. Its results are those of the pure functions; only their time differs. */
export const native = builtIn?.("node:crypto");

/**
 * Loads a package as Node finds it from here, or gives null: in a browser, in a bundle without packages beside it, in a Node
 * that refuses it.
 */
export function loadBeside<Package>(name: string): Package | null {
  try {
    return (builtIn?.("node:module").createRequire(import.meta.url)(name) as Package | undefined) ?? null;
  } catch {
    return null;
  }
}
