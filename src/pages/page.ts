import { sha256, toBase64, utf8 } from "../evidence/bytes.ts";
import { html, type Html } from "./html.ts";
import { STYLE } from "./style.ts";

/** A script or a style by its bytes, as a content security policy names it (CSP Level 3 §2.3.1). */
const named = (text: string): string => `'sha256-${toBase64(sha256(utf8(text)))}'`;

/**
 * A whole page. It loads nothing, sends nothing, and runs no script but the one given, which comes last. `style`
 * is added to the look of receipts. The script is our
 * own and holds no closing tag.
 */
export function pageOf({
  title,
  body,
  script,
  style = "",
}: {
  title: string;
  body: Html;
  script?: string;
  style?: string;
}): string {
  const look = `${STYLE}${style}`;
  const csp = [
    "default-src 'none'",
    `style-src ${named(look)}`,
    ...(script === undefined ? [] : [`script-src ${named(script)}`]),
    "base-uri 'none'",
    "form-action 'none'",
    "connect-src 'none'",
  ].join("; ");
  const { markup } = html`<!doctype html>
    <html lang="en">
      <head>
        <meta charset="utf-8" />
        <meta http-equiv="Content-Security-Policy" content="${csp}" />
        <meta name="referrer" content="no-referrer" />
        <meta name="viewport" content="width=device-width" />
        <title>${title}</title>
        ${{ markup: `<style>${look}</style>` }}
      </head>
      <body>
        ${body} ${script === undefined ? "" : { markup: `<script>${script}</script>` }}
      </body>
    </html> `;
  return markup;
}
