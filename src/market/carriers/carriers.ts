import type { ExchangeFormat } from "../../evidence/exchange/format.ts";
import { formatOf } from "../../evidence/exchange/formats.ts";
import type { Http } from "../../http/client.ts";
import { httpCarrier, type Carrier } from "./carrier.ts";
import { mcpCarrier } from "./mcp/carrier.ts";
import type { McpEndpoints } from "./mcp/endpoints.ts";

/** Finds the carrier of a kind of seller. */
export type CarrierOf = (provider: string) => Carrier;

/** The carriers over one client, by the name that exchange formats give them. */
export function createCarriers(http: Http, endpoints: McpEndpoints): CarrierOf {
  const carriers: Record<NonNullable<ExchangeFormat["carrier"]> | "http", Carrier> = {
    http: httpCarrier(http),
    mcp: mcpCarrier(endpoints),
  };
  return (provider) => {
    const format: ExchangeFormat | null = formatOf(provider);
    return carriers[format?.carrier ?? "http"];
  };
}
