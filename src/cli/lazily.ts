/** What a command resolves to: the process's exit code. */
type Action = (...args: never[]) => Promise<number>;

/**
 * Makes a command's action of a module that is loaded when it runs, once its peers are there. A command that `speaks` for
 * itself, or serves, gives no other sign of life.
 */
export type Lazily = (
  load: () => Promise<Action>,
  peers?: readonly string[],
  options?: { speaks?: boolean },
) => (...args: unknown[]) => Promise<void>;
