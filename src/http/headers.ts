import { VERSION } from "../version.ts";

/** Names lower case, so that none is sent twice. */
export const headersToSend = (headers: Record<string, string> = {}): Record<string, string> => ({
  "user-agent": `proof402/${VERSION}`,
  ...Object.fromEntries(Object.entries(headers).map(([name, value]) => [name.toLowerCase(), value])),
  "accept-encoding": "identity",
});

/** Headers as they came, names lower case, repeated ones joined. */
export const flatten = (headers: Record<string, string | string[] | undefined>): Record<string, string> =>
  Object.fromEntries(
    Object.entries(headers).flatMap(([name, value]) =>
      value === undefined ? [] : [[name.toLowerCase(), Array.isArray(value) ? value.join(", ") : value]],
    ),
  );
