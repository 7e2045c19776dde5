import { cardScript } from "./card-script.artifact.ts";
import { html } from "./html.ts";
import { pageOf } from "./page.ts";

/** A host names its theme. Without one the card follows its reader's system. */
const STYLE = `body{margin:0;padding:.75rem;max-width:none}article{margin:0;border:0;padding:0}h1{font-size:1.25rem;margin:.25rem 0}h2{font-size:1rem}
:root[data-theme=light]{color-scheme:light;--pass:#14713d;--fail:#b3261e;--open:#8a5a00}
:root[data-theme=dark]{color-scheme:dark;--pass:#6fd79b;--fail:#ff8a80;--open:#ffc862}`;

/**
 * The receipt card, a page for hosts of MCP Apps (`text/html;profile=mcp-app`): shows what a result of `buy_inference`,
 * `get_receipt` or `verify_receipt` says. It loads and sends nothing, and takes messages of its own host only.
 *
 * @example
 * ```ts
 * import { receiptCard } from "proof402/pages";
 *
 * const resource = { uri: "ui://proof402/receipt", mimeType: "text/html;profile=mcp-app", text: receiptCard() };
 * ```
 */
export const receiptCard = (): string =>
  pageOf({
    title: "Receipt",
    script: cardScript,
    style: STYLE,
    body: html`<main aria-live="polite"><h1>Waiting for a result</h1></main>
      <noscript><p>This card needs its own script. The tool's text says the same.</p></noscript>`,
  });
