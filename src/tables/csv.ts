import { Readable } from "node:stream";
import { stringify } from "csv-stringify";

/**
 * Lines as CSV (RFC 4180) with a header. Cells that a spreadsheet would compute are made text.
 *
 * @yields A piece of the file.
 */
export async function* csvOf<Line extends object>(
  lines: AsyncIterable<Line>,
  columns: readonly (keyof Line & string)[],
): AsyncGenerator<string> {
  const table = stringify({
    header: true,
    columns: [...columns],
    escape_formulas: true,
    record_delimiter: "windows",
    // Readers end a row at a lone CR or LF too, and some at one inside quotes: each inner line is guarded like a cell.
    quoted_match: /[\r\n]/,
    cast: { string: (text) => text.replaceAll(/[\r\n](?=[=+\-@\t\uFF1D\uFF0B\uFF0D\uFF20])/g, "$&'") },
  });
  const source = Readable.from(lines);
  // An error while reading ends the table, and with it the file.
  source.on("error", (error) => table.destroy(error));
  source.pipe(table);
  for await (const piece of table) yield String(piece);
}
