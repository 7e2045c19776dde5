import { serveStdio } from "@modelcontextprotocol/server/stdio";
import { bank } from "./mcp-bank.ts";

// The bank as a process, served to both protocols. The first argument names its ledger.
serveStdio(() => bank(process.argv[2] ?? ""));
