import * as z from "zod";
import { mcpTool } from "../../evidence/exchange/mcp-tool/mcp-tool.ts";
import { Proof402Error } from "../../errors.ts";
import { METADATA_KEY } from "../../evidence/tool-parts.ts";
import { originOf } from "../places.ts";
import type { Endpoint, McpEndpoints } from "../carriers/mcp/endpoints.ts";
import type { ListedModel, Listing, Provider, Seller } from "../types.ts";
import { isModelName, MAX_MODELS, nameSchema, wordsSchema } from "./listed.ts";
import { signatureIn } from "./signing.ts";
import { takenBy } from "./tool-input.ts";

/** Pages of a list of tools that are asked for. */
const MAX_PAGES = 20;

const toolSchema = z.looseObject({
  name: nameSchema,
  description: z.unknown(),
  inputSchema: z.unknown(),
  annotations: z.looseObject({}).catch({}),
  _meta: z.looseObject({}).catch({}),
});
type Tool = z.infer<typeof toolSchema>;
const pageSchema = z.looseObject({
  tools: z.array(z.unknown()),
  nextCursor: z.string().min(1).max(4096).optional().catch(undefined),
});

/** Tells the tools on sale. Our own sellers, Cloudflare's `agents` and x402-mcp each mark them in a way of their own. */
const isSold = ({ _meta: meta, annotations }: Tool): boolean =>
  meta[METADATA_KEY] !== undefined ||
  meta["agents-x402/paymentRequired"] === true ||
  annotations["paymentHint"] === true;

/** The evidence of a seller with an enclave, beside its tools. */
type Evidence = Pick<Provider, "attest" | "fetchInclusion">;

/**
 * Adapter for MCP servers over Streamable HTTP that sell calls of their tools by x402. A model is a tool. Lists only tools marked as sold or
 * named by the owner: asking another one for its price would run it. Most sign nothing. Our own sellers sign as over HTTP,
 * and serve their attestation at the same origin.
 */
export function createMcpToolProvider(endpoints: McpEndpoints, { attest, fetchInclusion }: Evidence): Provider {
  const toolsOf = async (seller: Seller, signal: AbortSignal | undefined): Promise<Tool[] | null> => {
    const tools: Tool[] = [];
    let cursor: string | undefined;
    for (let page = 0; page < MAX_PAGES && tools.length < MAX_MODELS; page += 1) {
      const params = cursor === undefined ? {} : { cursor };
      const read = pageSchema.safeParse(await endpoints.ask(endpointOf(seller), "tools/list", params, signal));
      if (!read.success) return page === 0 ? null : tools;
      for (const one of read.data.tools.slice(0, MAX_MODELS)) {
        const tool = toolSchema.safeParse(one);
        // Of two tools of one name the first counts.
        if (tool.success && !tools.some(({ name }) => name === tool.data.name)) tools.push(tool.data);
      }
      cursor = read.data.nextCursor;
      if (cursor === undefined) break;
    }
    return tools;
  };

  return {
    async recognises(seller, signal) {
      try {
        return (await toolsOf(seller, signal)) !== null;
      } catch (error) {
        // Another kind's server answers otherwise at an address that its owner did not name.
        if (seller.path === undefined || !Proof402Error.isInstance(error) || error.code === "http_malformed")
          return false;
        throw error;
      }
    },

    async listModels(seller, signal) {
      const tools = (await toolsOf(seller, signal)) ?? [];
      const { models: named } = seller;
      const sold = tools.filter((tool) => (named === undefined ? isSold(tool) : named.includes(tool.name)));
      return sold.length === 0 && named === undefined ? null : listingOf(seller, sold);
    },

    async describeModel(seller, name, signal) {
      if (!isModelName(name)) return { models: [], unsupported: [] };
      const tools = (await toolsOf(seller, signal)) ?? [];
      return listingOf(
        seller,
        tools.filter((tool) => tool.name === name),
      );
    },

    attest,
    responseEvidence: signatureIn,
    fetchInclusion,
    fetchProof: () => Promise.resolve(null),
  };
}

const endpointOf = (seller: Seller): Endpoint => ({
  url: `${originOf(seller)}${seller.path ?? mcpTool.at}`,
  pin: seller.certificateSha256,
});

const listingOf = ({ id: sellerId }: Seller, tools: readonly Tool[]): Listing => ({
  models: tools.map((tool): ListedModel => {
    const stated = tool._meta[METADATA_KEY];
    const words = wordsSchema.parse({ ...(typeof stated === "object" ? stated : {}), description: tool.description });
    return { sellerId, name: tool.name, ...words, inputs: [], outputs: [], takes: takenBy(tool.inputSchema) };
  }),
  unsupported: [],
});
