import { createHash, createHmac, randomBytes, timingSafeEqual } from "node:crypto";

/** A browser that has shown a token. */
export type Session = {
  /** The id of the one payment whose page it may see and answer. Null for the owner's, which sees all pages. */
  approval: string | null;
  /** Unix ms; infinite for the owner's, which ends with the process. */
  endsAt: number;
  /** Signs the forms of its pages. */
  key: Buffer;
  /** Streams of news that its pages hold open. */
  streams: number;
  /** Forms already used, each with the time it would have ended, unix ms. */
  used: Map<string, number>;
};

/** What became of a form's seal. */
export type Seal = "good" | "used" | "wrong";

/** The tokens of one server, and the browsers that have shown one. */
export type Sessions = {
  /** The owner's token: the printed address has it after the `#`. It signs in once; another one is valid from then on. */
  token(): string;
  /** A token for the page of one payment. It signs in once, until this time, unix ms. An earlier one of the payment ends. */
  ticket(approval: string, endsAt: number): string;
  /** Ends the token and the sessions of one payment. */
  end(approval: string): void;
  /** Uses a token up: its session, and the secret for its cookie. Null for a token that is wrong, used or too old. */
  signIn(token: string, now: number): { cookie: string; session: Session } | null;
  find(cookie: string, now: number): Session | null;
};

/** Sessions at once. The oldest ends when one more begins. */
const MOST = 32;
/** Tokens at once, one a payment: an agent's questions draw them. The oldest ends when one more is drawn. */
const MOST_TICKETS = 256;
/** How long a form can be sent after its page was made, ms. */
const FORM_MS = 60 * 60_000;

const secret = (): string => randomBytes(32).toString("base64url");
const digest = (text: string): Buffer => createHash("sha256").update(text).digest();

/** Draws the tokens of a server. Nothing of them is stored: they end with the process. `onUse` is told after the owner's signed in. */
export function openSessions(onUse: () => void = () => undefined): Sessions {
  // By digest, so that looking one up tells nothing by its time.
  const nameOf = (text: string): string => digest(text).toString("hex");
  const sessions = new Map<string, Session>();
  const tickets = new Map<string, Pick<Session, "approval" | "endsAt">>();
  let token = secret();
  const use = (given: string): Pick<Session, "approval" | "endsAt"> | null => {
    const name = nameOf(given);
    if (name === nameOf(token)) {
      token = secret();
      return { approval: null, endsAt: Number.POSITIVE_INFINITY };
    }
    const ticket = tickets.get(name) ?? null;
    tickets.delete(name);
    return ticket;
  };
  return {
    token: () => token,
    ticket(approval, endsAt) {
      const drawn = secret();
      drop(tickets, approval);
      makeRoom(tickets, MOST_TICKETS);
      tickets.set(nameOf(drawn), { approval, endsAt });
      return drawn;
    },
    end(approval) {
      drop(tickets, approval);
      drop(sessions, approval);
    },
    signIn(given, now) {
      const used = use(given);
      if (used === null || used.endsAt <= now) return null;
      const cookie = secret();
      const session = { ...used, key: randomBytes(32), streams: 0, used: new Map<string, number>() };
      makeRoom(sessions, MOST);
      sessions.set(nameOf(cookie), session);
      if (used.approval === null) onUse();
      return { cookie, session };
    },
    find(cookie, now) {
      const session = sessions.get(nameOf(cookie)) ?? null;
      return session === null || session.endsAt <= now ? null : session;
    },
  };
}

function drop(kept: Map<string, Pick<Session, "approval">>, approval: string): void {
  for (const [name, one] of kept) if (one.approval === approval) kept.delete(name);
}

function makeRoom(kept: Map<string, unknown>, most: number): void {
  const oldest = kept.keys().next();
  if (kept.size >= most && oldest.done !== true) kept.delete(oldest.value);
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
