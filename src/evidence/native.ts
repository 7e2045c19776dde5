/**
 * Finds a module of Node's own if this runs there, and undefined in a browser. Nothing is imported for it, so one build serves both.
 */
const builtIn = (globalThis as { process?: Partial<Pick<NodeJS.Process, "getBuiltinModule">> }).process
  ?.getBuiltinModule;

/** Node's own crypto. Its results are those of the pure functions; only their time differs. */
export const native = builtIn?.("node:crypto");

/** This file's own place in the package or its sources. In a bundle it has another one. */
const OWN_PLACE = /\/evidence\/native\.[jt]s$/;

/**
 * Loads a package of one version as Node finds it from here, or gives null: in a browser, in a bundle, in a Node that refuses it, and
 * where another version lies.
 */
export function loadBeside<Package>(name: string, version: string): Package | null {
  try {
    const here: string | undefined = import.meta.url;
    if (here === undefined || !OWN_PLACE.test(here)) return null;
    const require = builtIn?.("node:module").createRequire(here);
    const manifest = require?.resolve(name).replace(/([/\\]node_modules[/\\][^/\\]+[/\\]).*$/, "$1package.json") ?? "";
    if (require === undefined || (require(manifest) as { version: string }).version !== version) return null;
    return require(name) as Package;
  } catch {
    return null;
  }
}
