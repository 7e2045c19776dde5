import { readResult, type CardReceipt, type CardResult } from "./card-result.ts";
import { html, type Html } from "./html.ts";
import { dataBox, layerLine, limitsOf, priceText, said, verdictOf } from "./parts.ts";

/**
 * The script of the receipt card: an MCP App (extension `io.modelcontextprotocol/ui`, 2026-01-26). It shows what a tool's result
 * says, and asks its host for nothing but to be shown.
 */

const PROTOCOL = "2026-01-26";
/** The id of the one request that the card makes. A reply to any other is not for it. Hosts may be no secure context. */
const hello = crypto.getRandomValues(new Uint32Array(4)).join("-");

type Message = Readonly<Record<string, unknown>>;
const isMessage = (value: unknown): value is Message =>
  typeof value === "object" && value !== null && (value as Message)["jsonrpc"] === "2.0";
const isObject = (value: unknown): value is Record<string, unknown> => typeof value === "object" && value !== null;

/**
 * The host's origin, once it has answered. A sandboxed host has the opaque origin "null", which nothing can be addressed to: then
 * only the window tells it.
 */
let host: string | null = null;

function send(message: Record<string, unknown>): void {
  // Nothing sent is a secret: a name, a size.
  const target = host === null || host === "null" ? "*" : host;
  window.parent.postMessage({ jsonrpc: "2.0", ...message }, target);
}

const page = document.querySelector("main");
function show(shown: Html): void {
  if (page !== null) page.innerHTML = shown.markup;
}

function render(result: CardResult): Html {
  if (result.kind === "error")
    return html`<h1>The tool failed</h1>
      <p>${said(result.message)} <code>${result.code}</code></p>
      <p>${result.money === "" ? "" : html`Money: <strong>${result.money}</strong>.`} ${said(result.next)}</p>`;
  if (result.kind === "text")
    return html`<h1>No receipt to show</h1>
      <p>This result holds no receipt in a form that the card knows. Its text, as it came:</p>
      ${dataBox(result.text)}`;
  const { receipt } = result;
  return html`<article>
    ${verdictOf(receipt, { level: 1 })}
    <p>
      ${said(receipt.seller)} sold one inference of ${said(receipt.model)}. Paid: ${priceOf(receipt)}.
      <time>${receipt.at}</time>
    </p>
    <p>
      Receipt <code>${receipt.id}</code>. Assurance reached: ${said(receipt.assurance)}; asked for:
      ${said(receipt.wanted)}.
    </p>
    ${dataOf("Asked", result.asked)} ${dataOf("Answered (the seller's data)", result.answered)}
    <h2>Checks</h2>
    <ol class="layers">
      ${receipt.layers.map((one) => html`<li>${layerLine(one.layer, one)}${one.code === undefined ? "" : html` <code>${one.code}</code>`}</li>`)}
    </ol>
    <h2>What this does not prove</h2>
    ${limitsOf(receipt.notProven)} ${result.notes.map((words) => html`<p>${said(words)}</p>`)}
    <p>This card shows what the tool's result says. The evidence is in the receipt's file.</p>
  </article>`;
}

const priceOf = ({ paid }: CardReceipt): string =>
  priceText(paid, {
    token:
      paid.symbol === null ? undefined : { symbol: paid.symbol, decimals: paid.decimals, usdStable: paid.isDollar },
    told: paid.reported,
    place: paid,
  });

const dataOf = (name: string, value: unknown): Html =>
  value === undefined || value === null
    ? html``
    : html`<h2>${name}</h2>
        ${dataBox(jsonOf(value))}`;

/** A message may hold what JSON does not. */
function jsonOf(value: unknown): string {
  try {
    return JSON.stringify(value, null, 2);
  } catch {
    return "(not shown: no JSON)";
  }
}

const theme = (context: unknown): void => {
  const chosen = isObject(context) ? context["theme"] : undefined;
  if (chosen === "dark" || chosen === "light") document.documentElement.dataset["theme"] = chosen;
};

/** What the host may send, and what the card does then. Anything else does nothing. */
const HEARD: Readonly<Record<string, (params: unknown) => void>> = {
  "ui/notifications/tool-input": (params) => {
    const asked = isObject(params) ? params["arguments"] : undefined;
    show(
      html`<h1>Waiting for the result</h1>
        ${dataOf("Asked", asked)}`,
    );
  },
  "ui/notifications/tool-result": (params) => show(render(readResult(params))),
  "ui/notifications/tool-cancelled": () =>
    show(
      html`<h1>The call was cancelled</h1>
        <p>
          A payment that was under way is not taken back: ask for the spending, or call again with the same arguments.
        </p>`,
    ),
  "ui/notifications/host-context-changed": theme,
};

function reply(id: unknown, method: string): void {
  if (method === "ping" || method === "ui/resource-teardown") send({ id, result: {} });
  else send({ id, error: { code: -32601, message: "Method not found" } });
}

let ready = false;
function welcome(result: unknown): void {
  if (ready || !isObject(result)) return;
  ready = true;
  theme(result["hostContext"]);
  send({ method: "ui/notifications/initialized", params: {} });
  const tell = (): void => {
    const { scrollWidth: width, scrollHeight: height } = document.documentElement;
    send({ method: "ui/notifications/size-changed", params: { width, height } });
  };
  new ResizeObserver(tell).observe(document.body);
}

window.addEventListener("message", ({ source, origin, data }: MessageEvent<unknown>) => {
  // Another frame of the page is not the host, and a host does not move to another origin.
  if (source !== window.parent || window.parent === window || !isMessage(data)) return;
  if (host !== null && origin !== host) return;
  if (data["id"] === hello && "result" in data) {
    host = origin;
    welcome(data["result"]);
    return;
  }
  const { method, id } = data;
  if (host === null || typeof method !== "string") return;
  if (id !== undefined) reply(id, method);
  else if (Object.hasOwn(HEARD, method)) HEARD[method]?.(data["params"]);
});
send({
  id: hello,
  method: "ui/initialize",
  params: {
    appInfo: { name: "proof402-receipt", version: "1" },
    appCapabilities: {},
    protocolVersion: PROTOCOL,
  },
});
