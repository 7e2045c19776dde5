/**
 * The data of an event stream's events, one line each, in their order. Null for a stream with two
 * readings: lines that end in a lone CR, data of several lines, named events. An event without its empty line has not
 * come (HTML Living Standard §9.2.6).
 */
export function dataOfEvents(text: string): string[] | null {
  if (/\r(?!\n)/.test(text)) return null;
  const events: string[] = [];
  let data: string | null = null;
  for (const line of text.split(/\r?\n/).slice(0, -1)) {
    if (line === "") {
      if (data !== null) events.push(data);
      data = null;
    } else if (line.startsWith("data:") && data === null) {
      data = line.slice(line.startsWith("data: ") ? 6 : 5);
    } else if (!line.startsWith(":")) return null;
  }
  return events;
}
