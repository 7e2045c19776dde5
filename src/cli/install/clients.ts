import { homedir } from "node:os";
import { join } from "node:path";

/** How a client starts the server. */
export type Server = { command: string; args: readonly string[]; env?: Readonly<Record<string, string>> };

/** An MCP client: its file, and the entry of a server in it. */
export type Client = {
  /** Completes "Restart ...". */
  name: string;
  format: "json" | "toml" | "yaml";
  /** Its file, for this user. */
  file: () => string;
  /** The key of its table of servers. */
  servers: string;
  entry: (server: Server, name: string) => Readonly<Record<string, unknown>>;
  /** Links that add a server, if the client knows such: for this machine, and as a page that leads there. */
  link?: { app: (server: Server, name: string) => string; web: (server: Server, name: string) => string };
};

/** The folder that a variable names, if it is set, or another. */
function folder(variable: string, otherwise: string): string {
  const named = process.env[variable];
  return named === undefined || named === "" ? otherwise : named;
}

const configFolder = (): string => folder("XDG_CONFIG_HOME", join(homedir(), ".config"));

/** The folder of a program's settings by the custom of this system. */
function settingsFolder(): string {
  if (process.platform === "darwin") return join(homedir(), "Library", "Application Support");
  if (process.platform === "win32") return folder("APPDATA", join(homedir(), "AppData", "Roaming"));
  return configFolder();
}

const plain: Client["entry"] = ({ command, args, env }) => ({ command, args, ...(env === undefined ? {} : { env }) });
const typed: Client["entry"] = (server, name) => ({ type: "stdio", ...plain(server, name) });

const cursorQuery = (server: Server, name: string): string =>
  new URLSearchParams({ name, config: Buffer.from(JSON.stringify(plain(server, name))).toString("base64") }).toString();

/**
 * The clients by the command's word. Sources: each one's documentation of its MCP servers, November 2026. VS Code keeps
 * servers under `servers`, Codex in TOML, Goose in YAML by names of its own.
 */
export const CLIENTS = {
  "claude-code": {
    name: "Claude Code",
    format: "json",
    file: () => join(folder("CLAUDE_CONFIG_DIR", homedir()), ".claude.json"),
    servers: "mcpServers",
    entry: typed,
  },
  "claude-desktop": {
    name: "Claude Desktop",
    format: "json",
    file: () => join(settingsFolder(), "Claude", "claude_desktop_config.json"),
    servers: "mcpServers",
    entry: plain,
  },
  cursor: {
    name: "Cursor",
    format: "json",
    file: () => join(homedir(), ".cursor", "mcp.json"),
    servers: "mcpServers",
    entry: plain,
    link: {
      app: (server, name) => `cursor://anysphere.cursor-deeplink/mcp/install?${cursorQuery(server, name)}`,
      web: (server, name) => `https://cursor.com/en/install-mcp?${cursorQuery(server, name)}`,
    },
  },
  vscode: {
    name: "VS Code",
    format: "json",
    file: () => join(settingsFolder(), "Code", "User", "mcp.json"),
    servers: "servers",
    entry: typed,
    link: {
      app: (server, name) =>
        `vscode:mcp/install?${encodeURIComponent(JSON.stringify({ name, ...typed(server, name) }))}`,
      web: (server, name) =>
        `https://insiders.vscode.dev/redirect/mcp/install?name=${name}&config=${encodeURIComponent(JSON.stringify(typed(server, name)))}`,
    },
  },
  windsurf: {
    name: "Windsurf",
    format: "json",
    file: () => join(homedir(), ".codeium", "windsurf", "mcp_config.json"),
    servers: "mcpServers",
    entry: plain,
  },
  codex: {
    name: "Codex",
    format: "toml",
    file: () => join(folder("CODEX_HOME", join(homedir(), ".codex")), "config.toml"),
    servers: "mcp_servers",
    entry: plain,
  },
  gemini: {
    name: "Gemini CLI",
    format: "json",
    file: () => join(homedir(), ".gemini", "settings.json"),
    servers: "mcpServers",
    entry: plain,
  },
  goose: {
    name: "Goose",
    format: "yaml",
    file: () =>
      process.platform === "win32"
        ? join(settingsFolder(), "Block", "goose", "config", "config.yaml")
        : join(configFolder(), "goose", "config.yaml"),
    servers: "extensions",
    entry: ({ command, args, env }, name) => ({
      enabled: true,
      type: "stdio",
      name,
      cmd: command,
      args,
      envs: env ?? {},
      timeout: 300,
    }),
  },
} as const satisfies Readonly<Record<string, Client>>;

/** The words that name a client. */
export type ClientWord = keyof typeof CLIENTS;
