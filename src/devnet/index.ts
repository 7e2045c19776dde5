/**
 * proof402/devnet: a whole market on this machine, for development and tests. Its hardware is simulated.
 *
 * @module
 */
export { startAnvil, type Anvil } from "./anvil.ts";
export { startDevnet, type Devnet, type DevnetOptions } from "./devnet.ts";
export { SELLERS, type SellerName } from "./settings.ts";
export { createFacilitator } from "./facilitator.ts";
export { readDevnetKey, writeDevnet } from "./folder.ts";
export { openRelay, openValidationRegistry, type Relay } from "./relay.ts";
export { serveLocally, type Served } from "./serve.ts";
export { createUpstream, type Upstream } from "./upstream.ts";
export { openBank, USDC_SPEC, type Bank, type Token, type TokenSpec } from "./bank.ts";
