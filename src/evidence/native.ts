/**
 * Node's own crypto if this runs there, and undefined in a browser. Nothing is imported for it, so one build serves both. Its
 * results are those of the pure functions; only their time differs.
 */
export const native = (
  globalThis as { process?: Partial<Pick<NodeJS.Process, "getBuiltinModule">> }
).process?.getBuiltinModule?.("node:crypto");
