import { html } from "../pages/html.ts";
import type { Shown, View } from "./view.ts";

/** The pages with a place in the navigation. */
const PLACES = [
  ["/receipts", "Receipts"],
  ["/approvals", "Approvals"],
  ["/spending", "Spending"],
  ["/times", "Times"],
  ["/sellers", "Sellers"],
  ["/decisions", "Decisions"],
  ["/actions", "Actions"],
  ["/channels", "Channels"],
] as const;

/** A whole page around its content; one that `isAlone` leads to no other. */
export function pageFor(
  { at, allowApprovals, isAlone }: Pick<View, "at" | "allowApprovals"> & { isAlone: boolean },
  path: string,
  { title, titled, body }: Shown,
): string {
  const places = PLACES.map(
    ([place, words]) =>
      html`<li>
        <a href="${at}${place}" ${path === place || path.startsWith(`${place}/`) ? html` aria-current="page"` : ""}
          >${words}</a
        >
      </li>`,
  );
  return html`<!doctype html>
    <html lang="en" data-at="${at}">
      <head>
        <meta charset="utf-8" />
        <meta name="viewport" content="width=device-width" />
        <title>${title} - proof402</title>
        <link rel="stylesheet" href="${at}/style.css" />
        <script src="${at}/app.js" defer></script>
      </head>
      <body>
        <a class="skip" href="#main">Skip to the content</a>
        <header>
          ${
            isAlone
              ? ""
              : html`<nav aria-label="Pages">
                  <ul>
                    ${places}
                  </ul>
                </nav>`
          }
          <p class="mode">${allowApprovals ? "Approvals can be answered here." : "Read-only."}</p>
        </header>
        <main id="main" tabindex="-1">${titled === true ? "" : html`<h1>${title}</h1>`} ${body}</main>
        <footer><p>Times are UTC. What is shown here proves nothing by itself: a receipt's file does.</p></footer>
      </body>
    </html> `.markup;
}
