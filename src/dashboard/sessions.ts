import { createHash, createHmac, randomBytes, timingSafeEqual } from "node:crypto";

/** A browser that has shown the token. */
export type Session = {
  /** Signs the forms of its pages. */
  key: Buffer;
  /** Forms already used, each with the time it would have ended, unix ms. */
  used: Map<string, number>;
};

/** What became of a form's seal. */
export type Seal = "good" | "used" | "wrong";

/** The token of one server, and the browsers that have shown it. */
export type Sessions = {
  /** Stands in the printed address, after the `#`. */
  token: string;
  /** A new session's secret for its cookie, or null for a wrong token. */
  signIn(token: string): string | null;
  find(cookie: string | undefined): Session | null;
};

/** Sessions at once. The oldest ends when one more begins. */
const MOST = 32;
/** How long a form can be sent after its page was made, ms. */
const FORM_MS = 60 * 60_000;

const secret = (): string => randomBytes(32).toString("base64url");
const digest = (text: string): Buffer => createHash("sha256").update(text).digest();

/** Draws the token of a server. Nothing of it is stored: it ends with the process. */
export function openSessions(): Sessions {
  const token = secret();
  // By digest, so that looking one up tells nothing by its time.
  const sessions = new Map<string, Session>();
  const nameOf = (cookie: string): string => digest(cookie).toString("hex");
  return {
    token,
    signIn(given) {
      if (!timingSafeEqual(digest(given), digest(token))) return null;
      const cookie = secret();
      const oldest = sessions.keys().next();
      if (sessions.size >= MOST && oldest.done !== true) sessions.delete(oldest.value);
      sessions.set(nameOf(cookie), { key: randomBytes(32), used: new Map() });
      return cookie;
    },
    find: (cookie) => (cookie === undefined ? null : (sessions.get(nameOf(cookie)) ?? null)),
  };
}

/** A seal for one form, good once, for an hour, and for this purpose alone: the words of all that the person is shown. */
export function sealFor({ key }: Session, purpose: string, now: number): string {
  const head = `${randomBytes(16).toString("base64url")}.${now + FORM_MS}`;
  return `${head}.${signed(key, head, purpose)}`;
}

/** Uses a form's seal up. */
export function breakSeal({ key, used }: Session, purpose: string, seal: string, now: number): Seal {
  const [name = "", ends = "", signature = ""] = seal.split(".");
  const head = `${name}.${ends}`;
  if (!timingSafeEqual(digest(signature), digest(signed(key, head, purpose)))) return "wrong";
  if (Number(ends) <= now) return "wrong";
  for (const [one, until] of used) if (until <= now) used.delete(one);
  if (used.has(name)) return "used";
  used.set(name, Number(ends));
  return "good";
}

const signed = (key: Buffer, head: string, purpose: string): string =>
  createHmac("sha256", key).update(`${head}\n${purpose}`).digest("base64url");
