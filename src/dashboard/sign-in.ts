import { sha256, toBase64, utf8 } from "../evidence/bytes.ts";
import { html } from "../pages/html.ts";

/**
 * Takes the token out of the address, hands it in, and goes on to the page that the address names. A browser sends no part of
 * an address after `#`, so the token is in no request line and no log. It signs in once: a browser that did so before goes on by its
 * cookie, for which this origin keeps the pages' path.
 */
const SCRIPT = `(async () => {
  const token = location.hash.slice(1);
  history.replaceState(null, "", location.pathname);
  const answer = token === "" ? null : await fetch("/sign-in", { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify({ token }) }).catch(() => null);
  const isNew = answer !== null && answer.ok;
  const at = isNew ? (await answer.json()).at : localStorage.getItem("at");
  if (isNew) localStorage.setItem("at", at);
  const isIn = isNew || (at !== null && (await fetch(at + location.pathname).then(({ ok }) => ok, () => false)));
  if (isIn) location.replace(at + location.pathname);
  else document.getElementById("state").textContent = "An address signs in once. This one was used before, is not whole, or its program has ended. Open the address that proof402 printed last, up to its end, or run the command again.";
})();`;

const STYLE =
  ":root{color-scheme:light dark}body{font:16px/1.5 system-ui,sans-serif;max-width:40rem;margin:3rem auto;padding:0 1rem}";

const named = (text: string): string => `'sha256-${toBase64(sha256(utf8(text)))}'`;

/** The policy of the sign-in page: its own script and style, by their bytes, and requests to this server. */
export const SIGN_IN_CSP = `default-src 'none'; script-src ${named(SCRIPT)}; style-src ${named(STYLE)}; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'`;

/** The one page for a browser without a session. It is the same for every path and holds nothing of the buyer. */
export const SIGN_IN_PAGE = html`<!doctype html>
  <html lang="en">
    <head>
      <meta charset="utf-8" />
      <meta name="viewport" content="width=device-width" />
      <title>proof402: signing in</title>
      ${{ markup: `<style>${STYLE}</style>` }}
    </head>
    <body>
      <main>
        <h1>proof402</h1>
        <p id="state" role="status">Signing in with the address that proof402 printed.</p>
        <noscript><p>Signing in needs this page's own script. The pages after it work without one.</p></noscript>
      </main>
      ${{ markup: `<script>${SCRIPT}</script>` }}
    </body>
  </html> `.markup;
