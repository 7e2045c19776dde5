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
  const table = stringify({ header: true, columns: [...columns], escape_formulas: true, record_delimiter: "windows" });
  const source = Readable.from(lines);
  // An error while reading ends the table, and with it the file.
  source.on("error", (error) => table.destroy(error));
  source.pipe(table);
  for await (const piece of table) yield String(piece);
}
