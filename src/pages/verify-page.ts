import { html } from "./html.ts";
import { pageOf } from "./page.ts";

/** `verify.html` around its script. */
export const verifyPage = (script: string): string =>
  pageOf({
    title: "Verify a proof402 receipt",
    script,
    body: html`<header>
        <h1>Verify a proof402 receipt</h1>
        <p>
          Choose or drop receipt files or reports of decisions here, and the trust file of the one whose judgement you
          take (<code>proof402 trust export trust.json</code>
          writes one). They are judged on this page, on this machine. Nothing is uploaded: the page cannot load or send
          anything.
        </p>
        <p>
          What a file tells of a chain is not read from the chain here: <code>proof402 verify FILE --online</code> does
          that. EZKL proofs are not judged here.
        </p>
      </header>
      <div class="drop">
        <label>Receipts, reports and trust file <input id="files" type="file" multiple /></label>
      </div>
      <p id="trusted" role="status"></p>
      <main id="results" aria-live="polite"></main>
      <noscript
        ><p>
          This page needs its own script to judge files. Without it, use <code>proof402 verify FILE</code>.
        </p></noscript
      >`,
  });
