import type { LayerResult, Status, Verdict } from "../receipts/schema.ts";
import { QUESTIONS } from "./layers.ts";

/** A receipt as a tool's result tells it. Each text is of a bounded length. */
export type CardReceipt = {
  id: string;
  seller: string;
  model: string;
  verdict: Verdict;
  assurance: string;
  wanted: string;
  simulated: boolean;
  at: string;
  paid: {
    state: "authorized" | "settled" | "expired";
    amount: string;
    atMost: boolean;
    reported: boolean;
    symbol: string | null;
    isDollar: boolean;
    asset: string;
    decimals: number;
    network: string;
  };
  layers: { layer: keyof typeof QUESTIONS; status: Status; note?: string; code?: string }[];
  notProven: string[];
};

/** A result for the card: a receipt, a failure in the tool's words, or its text alone. */
export type CardResult =
  | { kind: "receipt"; receipt: CardReceipt; asked: unknown; answered: unknown; notes: string[] }
  | { kind: "error"; code: string; message: string; money: string; next: string }
  | { kind: "text"; text: string };

const VERDICTS: readonly unknown[] = ["verified", "pending", "failed", "unverified"] satisfies Verdict[];
const STATUSES: readonly unknown[] = ["pass", "fail", "skip", "pending", "reported", "unsupported"] satisfies Status[];
const STATES: readonly unknown[] = ["authorized", "settled", "expired"] satisfies CardReceipt["paid"]["state"][];

/** Most characters of one text, and most sentences, that a card takes from a message. */
const [MAX_TEXT, MAX_LINES] = [1000, 40];

type Data = Readonly<Record<string, unknown>>;
const isData = (value: unknown): value is Data => typeof value === "object" && value !== null && !Array.isArray(value);
const own = (data: unknown, name: string): unknown =>
  isData(data) && Object.hasOwn(data, name) ? data[name] : undefined;
const text = (value: unknown): string => (typeof value === "string" ? value.slice(0, MAX_TEXT) : "");
const isText = (value: unknown): value is string => typeof value === "string" && value !== "";

/**
 * Reads a tool's result (MCP `CallToolResult`) for the card. A receipt is shown only if each part that carries its verdict is there
 * and in form: of anything less the text stands, as text.
 */
export function readResult(result: unknown): CardResult {
  const data = own(result, "structuredContent");
  const error = own(data, "error");
  if (isData(error) && isText(error["code"])) {
    const [code, message, money, next] = ["code", "message", "money", "next"].map((name) => text(own(error, name)));
    return { kind: "error", code: code ?? "", message: message ?? "", money: money ?? "", next: next ?? "" };
  }
  const receipt = own(result, "isError") === true ? null : readReceipt(own(data, "receipt"), own(data, "layers"));
  if (receipt === null) return { kind: "text", text: textsOf(own(result, "content")) };
  const exchange = own(data, "exchange");
  return {
    kind: "receipt",
    receipt,
    asked: own(exchange, "input"),
    answered: own(data, "answer") ?? own(exchange, "answer"),
    notes: [own(exchange, "note"), own(data, "answerNote"), own(data, "next")].filter(isText).map(text),
  };
}

const textsOf = (content: unknown): string =>
  Array.isArray(content)
    ? content
        .slice(0, MAX_LINES)
        .flatMap((one) => (own(one, "type") === "text" && isText(own(one, "text")) ? [String(own(one, "text"))] : []))
        .join("\n")
    : "";

function readReceipt(summary: unknown, results: unknown): CardReceipt | null {
  const verdict = own(summary, "verdict");
  const simulated = own(summary, "simulated");
  const paid = readPaid(own(summary, "paid"));
  const layers = readLayers(own(summary, "layers"), results);
  const notProven = own(summary, "notProven");
  const named = ["id", "seller", "model", "assurance", "wanted", "at"].map((name) => own(summary, name));
  if (
    !VERDICTS.includes(verdict) ||
    typeof simulated !== "boolean" ||
    paid === null ||
    layers === null ||
    !Array.isArray(notProven) ||
    // Each verdict has its limits, and none of the better ones stands over a layer that failed.
    notProven.length === 0 ||
    ((verdict === "verified" || verdict === "pending") && layers.some(({ status }) => status === "fail")) ||
    !notProven.every(isText) ||
    !named.every(isText)
  )
    return null;
  const [id = "", seller = "", model = "", assurance = "", wanted = "", at = ""] = named.map(text);
  const limits =
    notProven.length > MAX_LINES
      ? [...notProven.slice(0, MAX_LINES), `And ${notProven.length - MAX_LINES} more: see the receipt.`]
      : notProven;
  return {
    id,
    seller,
    model,
    assurance,
    wanted,
    at,
    simulated,
    paid,
    layers,
    verdict: verdict as Verdict,
    notProven: limits.map(text),
  };
}

function readPaid(paid: unknown): CardReceipt["paid"] | null {
  const [state, amount, decimals, network] = ["state", "amount", "decimals", "network"].map((name) => own(paid, name));
  if (
    !STATES.includes(state) ||
    typeof amount !== "string" ||
    !/^[0-9]{1,78}$/.test(amount) ||
    typeof decimals !== "number" ||
    !Number.isInteger(decimals) ||
    decimals < 0 ||
    decimals > 36 ||
    !isText(network)
  )
    return null;
  const symbol = own(paid, "symbol");
  return {
    state: state as CardReceipt["paid"]["state"],
    amount,
    decimals,
    network: text(network),
    atMost: own(paid, "atMost") === true,
    reported: own(paid, "reported") === true,
    symbol: isText(symbol) ? text(symbol) : null,
    isDollar: isText(own(paid, "usd")),
    asset: text(own(paid, "asset")),
  };
}

/** All layers or nothing: a list that left one out would hide what it says. */
function readLayers(statuses: unknown, results: unknown): CardReceipt["layers"] | null {
  const read: CardReceipt["layers"] = [];
  for (const layer of Object.keys(QUESTIONS) as (keyof typeof QUESTIONS)[]) {
    const status = own(statuses, layer);
    if (!STATUSES.includes(status)) return null;
    const found = own(results, layer);
    const detail: Partial<LayerResult> =
      own(found, "status") === status ? { note: text(own(found, "note")), code: text(own(found, "code")) } : {};
    read.push({ layer, status: status as Status, ...detail });
  }
  return read;
}
