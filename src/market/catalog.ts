import { Proof402Error, type ErrorCode } from "../errors.ts";
import { aborted } from "../http/errors.ts";
import type { Listing, Provider, Seller } from "./types.ts";

/** What one seller listed, or why nothing is known of it: an error code, `not_answered` while its answer is awaited. */
export type SellerListing = Listing & { seller: Seller; unreachable: Unreachable | null };

/** Why a seller gave no listing: the error of asking it, or that it has not answered. */
type Unreachable = ErrorCode | "not_answered" | "unreachable";

/** Which listings a caller needs. */
export type ListingRequest = {
  signal?: AbortSignal;
  /** Asks every seller again. */
  refresh?: boolean;
  /** The one seller that a call names: no other is waited for. */
  seller?: string;
  /** The model named by a call: sellers without a list are asked about it. */
  model?: string;
  /** Whether these listings are enough to choose from. Without it, sellers that are slow are not waited for at all. */
  enough?: (known: readonly SellerListing[]) => boolean;
};

export type Catalog = {
  /** Every seller's listing, in the configuration's order. Throws Proof402Error `http_aborted` where `signal` is. */
  listings(request?: ListingRequest): Promise<SellerListing[]>;
};

/** Longest that one seller's listing is waited for, ms. */
const LISTING_MS = 10_000;
/** How long a seller may take to bring its price in, where others can serve already, ms. */
const GRACE_MS = 1000;
/** Pause after a seller did not answer, for calls that others can serve, ms. */
const DOWN_MS = 10_000;
/** Questions whose answers are remembered: one for each seller, and one for each model of sellers without a list. */
const MAX_QUESTIONS = 1000;

/** One question to a seller. `wasDown`: it did not answer the question before. */
type Question = { seller: Seller; at: number; answer: SellerListing | null; answered: Promise<void>; wasDown: boolean };

/**
 * Asks all sellers at once, shares each question among all who need its answer, and keeps it for `maxAgeMs`. A failing
 * or silent seller delays no call that another one can serve, and is not waited for again until it has answered.
 */
export function createCatalog(options: {
  sellers: readonly Seller[];
  providerOf: (seller: Seller) => Provider;
  clock: () => Date;
  maxAgeMs: number;
}): Catalog {
  const questions = new Map<string, Question>();
  const withoutList = new Set<string>();

  const read = async (seller: Seller, model: string | undefined, signal: AbortSignal): Promise<Listing> => {
    const provider = options.providerOf(seller);
    const listing = await provider.listModels(seller, signal);
    if (listing !== null) return listing;
    withoutList.add(seller.id);
    return model === undefined ? { models: [], unsupported: [] } : provider.describeModel(seller, model, signal);
  };

  const questionTo = (seller: Seller, model: string | undefined, isUsable: (known: Question) => boolean): Question => {
    const key = model !== undefined && withoutList.has(seller.id) ? `${seller.id} ${model}` : seller.id;
    const known = questions.get(key);
    if (known !== undefined && (known.answer === null || isUsable(known))) return known;
    const asked = listingOf(seller, (signal) => read(seller, model, signal));
    const wasDown = known?.answer?.unreachable != null;
    const question: Question = {
      seller,
      at: options.clock().getTime(),
      answer: null,
      answered: asked.then(keep),
      wasDown,
    };
    function keep(listing: SellerListing): void {
      question.answer = listing;
    }
    questions.delete(key);
    questions.set(key, question);
    const [oldest] = questions.keys();
    if (questions.size > MAX_QUESTIONS && oldest !== undefined) questions.delete(oldest);
    return question;
  };

  return {
    async listings({ signal, refresh = false, seller, model, enough } = {}) {
      if (signal?.aborted === true) throw aborted(false);
      const now = options.clock().getTime();
      const isUsable = ({ at, answer }: Question): boolean => {
        const up = answer?.unreachable === null;
        const age = now - at;
        return !refresh && (up || enough !== undefined) && age >= 0 && age < (up ? options.maxAgeMs : DOWN_MS);
      };
      const isNeeded = ({ id }: Seller): boolean => seller === undefined || seller === id;
      let asked = options.sellers.map((one) => questionTo(one, model, isUsable));
      const known = (): SellerListing[] => asked.map((one) => one.answer ?? silent(one.seller));
      const isOpen = (one: Question): boolean => one.answer === null && isNeeded(one.seller);
      const untilEnough = async (): Promise<void> => {
        while (asked.some(isOpen) && enough?.(known()) === false)
          await unlessAborted(Promise.race(asked.filter(isOpen).map(({ answered }) => answered)), signal);
      };

      const expected = asked.filter((one) => isOpen(one) && (enough === undefined || !one.wasDown));
      await unlessAborted(withinGrace(expected.map(({ answered }) => answered)), signal);
      await untilEnough();
      if (enough?.(known()) !== false) return known();
      // Nothing else can serve this call: those that were left alone are asked after all.
      asked = asked.map((one) =>
        isNeeded(one.seller)
          ? questionTo(one.seller, model, ({ at, answer }) => at >= now || answer?.unreachable === null)
          : one,
      );
      await untilEnough();
      return known();
    },
  };
}

const silent = (seller: Seller): SellerListing => ({
  seller,
  models: [],
  unsupported: [],
  unreachable: "not_answered",
});

/** Asks one seller, within its time. Never rejects. */
async function listingOf(seller: Seller, ask: (signal: AbortSignal) => Promise<Listing>): Promise<SellerListing> {
  const bound = AbortSignal.timeout(LISTING_MS);
  try {
    return { seller, ...(await ask(bound)), unreachable: null };
  } catch (error) {
    const code = bound.aborted ? "http_timeout" : Proof402Error.isInstance(error) ? error.code : "unreachable";
    return { seller, models: [], unsupported: [], unreachable: code };
  }
}

/** Waits for all of them, for as long as the grace lasts. */
async function withinGrace(answers: readonly Promise<void>[]): Promise<void> {
  if (answers.length === 0) return;
  let timer: NodeJS.Timeout | undefined;
  const grace = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, GRACE_MS);
  });
  await Promise.race([Promise.all(answers), grace]);
  clearTimeout(timer);
}

/** A caller that gives up ends its own waiting only: others share the question. */
async function unlessAborted(work: Promise<unknown>, signal: AbortSignal | undefined): Promise<void> {
  const over = new AbortController();
  const givenUp = new Promise<never>((_, reject) => {
    signal?.addEventListener("abort", () => reject(aborted(false)), { signal: over.signal });
  });
  try {
    await Promise.race([work, givenUp]);
  } finally {
    over.abort();
  }
}
