// A process of its own for anvil.test.ts: owns a chain, says where it is, and stays until it is killed.
import { startAnvil } from "../../src/devnet/anvil.ts";

const anvil = await startAnvil();
process.stdout.write(`${anvil.rpcUrl}\n`);
