/** How long work may take before it is spoken of, and how often afterwards, ms. */
const SILENT_MS = 500;
const EVERY_MS = 1000;
/** How often a look is taken at whether to speak, ms. */
const LOOK_MS = 100;

/** What is done now, the innermost last. */
const work: { what: string; began: number; isSaid: boolean }[] = [];
/** When something was last shown, by any part of the command. */
let shownAt = 0;
/** A line that counts stands at the end of the terminal. */
let isCounting = false;
/** How many questions wait for a person. */
let questions = 0;

/**
 * Does long work, and says so on stderr within a second. On a terminal one line counts the seconds and is gone at the end;
 * elsewhere it is said once.
 */
export async function busy<T>(what: string, does: () => Promise<T>): Promise<T> {
  const own = { what, began: performance.now(), isSaid: false };
  work.push(own);
  const looks = setInterval(() => {
    if (work.at(-1) === own && questions === 0) speakOf(own);
  }, LOOK_MS);
  try {
    return await does();
  } finally {
    clearInterval(looks);
    work.splice(work.indexOf(own), 1);
    makeRoom();
  }
}

/** The same around a whole command, for a person at a terminal: between two of its lines it never seems to hang. */
export const alive = <T>(command: string, does: () => Promise<T>): Promise<T> =>
  process.stderr.isTTY ? busy(`${command} is at work`, does) : does();

/** Keeps still while a person is asked. */
export async function asking<T>(question: () => Promise<T>): Promise<T> {
  makeRoom();
  questions += 1;
  try {
    return await question();
  } finally {
    questions -= 1;
    shownAt = performance.now();
  }
}

/** Takes the counting line away before something else is shown. */
export function makeRoom(): void {
  shownAt = performance.now();
  if (isCounting) process.stderr.write(CLEAR);
  isCounting = false;
}

function speakOf(own: (typeof work)[number]): void {
  const { stderr } = process;
  const now = performance.now();
  if (now - Math.max(own.began, shownAt) < (isCounting ? EVERY_MS : SILENT_MS)) return;
  if (stderr.isTTY) {
    stderr.write(`${CLEAR}${own.what} (${Math.round((now - own.began) / 1000)} s)`);
    isCounting = true;
    shownAt = now;
  } else if (!own.isSaid) {
    own.isSaid = true;
    stderr.write(`${own.what} ...\n`);
  }
}

/** To the start of the line, and all of it gone. */
const CLEAR = "\r\u001b[2K";
