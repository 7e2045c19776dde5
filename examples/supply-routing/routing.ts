import { appendFile } from "node:fs/promises";
import { guard, Proof402Error, type Buyer, type BuyResult } from "proof402";
import { MODEL } from "./market.ts";
import type { Route, Shipment } from "./shipments.ts";

/** Kinds of decisions. A report on those that drop a seller fails by its receipts: it is the evidence against the seller. */
export const ROUTING = "routing";
export const DROPPING = "sellers dropped";

/** A seller that is asked no more, and why. */
type Dropped = { seller: string; because: string; receipt: string | null };
type Estimate = { route: Route; seller: string; price: string; receipt: string; cost: number; delay: number };

/** A router over one buyer. What it learns of sellers it keeps for the shipments that follow. */
export function createRouter(buyer: Buyer, bookings: string, say: (line: string) => void) {
  const dropped: Dropped[] = [];

  /** The cheapest seller of enough evidence that was not dropped. */
  async function cheapest(assurance: Shipment["assurance"]): Promise<{ seller: string; price: string }> {
    const enough = assurance === "signed" ? ["signed", "attested", "proven"] : ["attested", "proven"];
    const { models } = await buyer.listModels();
    const [best] = models
      .filter(({ name, seller }) => name === MODEL && seller.state === "ready")
      .filter((one) => enough.includes(one.assurance) && !dropped.some(({ seller }) => seller === one.seller.id))
      .map(({ seller, priceUsd }) => ({ seller: seller.id, price: priceUsd ?? "" }))
      .filter(({ price }) => price !== "")
      .toSorted((a, b) => Number(a.price) - Number(b.price));
    if (best === undefined) throw new Error(`no seller of ${MODEL} is left with assurance ${assurance}`);
    return best;
  }

  /** Buys an estimate, from one seller after another until an answer is verified. A seller that fails is dropped. */
  async function estimate(shipment: Shipment, route: Route): Promise<Estimate> {
    for (;;) {
      const { seller, price } = await cheapest(shipment.assurance);
      const bought = await buy(shipment, route, seller);
      if (!("because" in bought)) {
        const [cost, delay] = ["cost", "delay"].map((name) => Number([bought.answer[name]].flat()[0]));
        return {
          route,
          seller,
          price,
          receipt: bought.receipt.id,
          cost: cost ?? Number.NaN,
          delay: delay ?? Number.NaN,
        };
      }
      dropped.push({ seller, ...bought });
      say(`  ${seller} dropped: ${bought.because}`);
      if (bought.receipt === null) continue;
      await buyer.decide({
        purpose: DROPPING,
        subject: `seller ${seller}`,
        receipts: [bought.receipt],
        action: { drop: seller },
        outcome: `dropped: ${bought.because}`,
        program: "supply-routing",
      });
    }
  }

  /** A verified answer, or the reason for which its seller is dropped. */
  async function buy(
    { id, assurance }: Shipment,
    { name, features }: Route,
    seller: string,
  ): Promise<(BuyResult & { readable: true }) | { because: string; receipt: string | null }> {
    try {
      const idempotencyKey = `${id.split(" ", 1)[0] ?? id}-${name}-${seller}`;
      const bought = await buyer.buy(MODEL, { features }, { seller, assurance, wait: "verified", idempotencyKey });
      if (bought.verdict === "verified" && bought.readable) return bought;
      const failed = Object.entries(bought.appraisal.layers).find(([, { status }]) => status === "fail");
      const because = failed === undefined ? bought.verdict : `${failed[0]} ${failed[1].code}`;
      return { because, receipt: bought.receipt.id };
    } catch (error) {
      // Only a seller that cannot be reached is passed over. Anything else is for the owner to look at.
      const isGone = Proof402Error.isInstance(error) && error.code.startsWith("http_");
      if (!isGone) throw error;
      return { because: `${error.code}, money ${error.money}`, receipt: null };
    }
  }

  /** Books by a guarded action: it runs only on the receipt whose answer says this cost and delay of these features. */
  async function book({ id, assurance, maxDelay }: Shipment, { route, receipt, cost, delay }: Estimate): Promise<void> {
    const booking = guard(
      {
        name: "book-route",
        async run(args: { shipment: string; route: string; features: number[]; cost: number; delay: number }) {
          await appendFile(bookings, `${JSON.stringify({ shipment: args.shipment, route: args.route, receipt })}\n`);
        },
      },
      {
        buyer,
        assurance,
        maxAge: 600,
        models: [MODEL],
        allowSimulated: true, // For the market on this machine. Leave it out with real sellers.
        bind: {
          rules: [
            { check: { argument: "/features" }, equals: { input: "/features" } },
            { check: { argument: "/cost" }, equals: { answer: "/cost/0" } },
            { check: { argument: "/delay" }, equals: { answer: "/delay/0" } },
            { check: { argument: "/delay" }, atMost: { value: maxDelay } },
          ],
          free: ["/shipment", "/route"],
        },
      },
    );
    await booking({ shipment: id, route: route.name, features: route.features, cost, delay }, { receiptId: receipt });
  }

  return {
    /** Estimates every route, books the cheapest that is not too late, and records why. */
    async send(shipment: Shipment, afterFirst?: () => Promise<void>): Promise<void> {
      say(`${shipment.id} (${shipment.assurance})`);
      const estimates: Estimate[] = [];
      for (const route of shipment.routes) {
        const one = await estimate(shipment, route);
        estimates.push(one);
        say(
          `  ${route.name} from ${one.seller} at $${one.price}: cost ${one.cost.toFixed(2)}, delay ${one.delay.toFixed(2)}`,
        );
        if (estimates.length === 1) await afterFirst?.();
      }
      const [best] = estimates.filter(({ delay }) => delay <= shipment.maxDelay).toSorted((a, b) => a.cost - b.cost);
      if (best !== undefined) await book(shipment, best);
      await buyer.decide({
        purpose: ROUTING,
        subject: shipment.id,
        receipts: estimates.map(({ receipt }) => receipt),
        action: best === undefined ? { hold: shipment.id } : { book: best.route.name, on: best.receipt },
        outcome: [
          best === undefined ? "held: every route is too late" : `booked ${best.route.name}`,
          ...dropped.map(({ seller, because }) => `without ${seller}: ${because}`),
        ].join("\n"),
        program: "supply-routing",
      });
      say(`  ${best === undefined ? "held" : `booked ${best.route.name}`}`);
    },
  };
}
