import { html } from "./html.ts";
import { pageOf } from "./page.ts";

const STYLE = `button{font:inherit;text-align:start;min-height:24px;overflow-wrap:anywhere}#page:focus{outline:2px solid}progress{width:100%}#list table{table-layout:fixed}#list th:first-child{width:4rem}#said>p{font-weight:600}.name{font-family:ui-monospace,monospace;background:#8882;padding:0 .25rem}@media print{.drop,progress{display:none}th button{border:0;padding:0;background:none;color:inherit}}`;

/** `verify.html` around its script. */
export const verifyPage = (script: string): string =>
  pageOf({
    title: "Verify a proof402 receipt",
    script,
    style: STYLE,
    body: html`<header>
        <h1>Verify a proof402 receipt</h1>
        <p>
          Choose the trust file of the one whose judgement you take (<code>proof402 trust export trust.json</code>
          writes one), and choose or drop receipt files or reports of decisions. A trust file among them is never used
          by itself. They are judged on this page, on this machine. Nothing is uploaded: the page cannot load or send
          anything.
        </p>
        <p>
          What a file tells of a chain is not read from the chain here: <code>proof402 verify FILE --online</code> does
          that. EZKL proofs are not judged here.
        </p>
      </header>
      <main>
        <div class="drop">
          <label>Your trust file <input id="trust" type="file" /></label>
          <label>Receipts and reports <input id="files" type="file" multiple /></label>
          <label>Or a folder of them <input id="folder" type="file" webkitdirectory /></label>
          <button id="clear" type="button">Start over</button>
        </div>
        <p id="trusted" role="status"></p>
        <div id="offers" role="status"></div>
        <div id="said" role="status"></div>
        <div id="results">
          <div id="list"></div>
          <section id="page" aria-label="The chosen file" tabindex="-1"></section>
        </div>
      </main>
      <noscript
        ><p>
          This page needs its own script to judge files. Without it, use <code>proof402 verify FILE</code>.
        </p></noscript
      >`,
  });
