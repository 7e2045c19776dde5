import { nameOf } from "./file-name.ts";
import { html, type Html } from "./html.ts";
import type { JudgedFile } from "./judged-file.ts";
import { said } from "./parts.ts";

/** A judged file in a list, and what a reader must not count twice. */
export type Listed = Omit<JudgedFile, "article" | "rests"> & { shared: string };

/** How many files came to what. */
export function summaryOf(listed: readonly Listed[]): string {
  if (listed.length === 0) return "";
  const counts = new Map<string, number>();
  for (const { verdict } of listed) counts.set(verdict, (counts.get(verdict) ?? 0) + 1);
  const found = [...counts].map(([verdict, count]) => `${count} ${verdict}`).join(", ");
  return `${listed.length === 1 ? "1 file" : `${listed.length} files`} judged: ${found}.`;
}

/** Files with their verdicts. */
export const tableOf = (rows: readonly Html[]): Html =>
  html`<h2>Files</h2>
    <progress aria-label="Files judged" value="0"></progress>
    <table>
      <caption>
        Choose a file to see its page
      </caption>
      <thead>
        <tr>
          <th scope="col">Number</th>
          <th scope="col">File</th>
          <th scope="col">Verdict</th>
          <th scope="col">About</th>
        </tr>
      </thead>
      <tbody>
        ${rows}
      </tbody>
    </table>`;

const titleOf = ({ verdict, simulated, code }: Listed): string =>
  verdict === "refused" ? `REFUSED: ${code}` : `${verdict.toUpperCase()}${simulated ? " (simulated hardware)" : ""}`;

/** One file of the list. */
export const rowOf = (row: Listed, { at, name }: { at: number; name: string }): Html =>
  html`<tr>
    <td>${at + 1}</td>
    <th scope="row"><button type="button" data-file="${at}">${nameOf(name)}</button></th>
    <td class="${row.verdict === "refused" ? "failed" : row.verdict}">${titleOf(row)}</td>
    <td>${said(row.about)} ${row.shared}</td>
  </tr>`;
