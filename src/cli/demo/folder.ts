import { join, relative, resolve } from "node:path";
import { Proof402Error } from "../../errors.ts";
import { makeNewFolder, writeNew } from "../../files/write-new.ts";
import { shellLine } from "./shell.ts";

/** What the demo leaves for its user to look at. */
export type DemoFolder = { path: string; receipt: string; trust: string; config: string; database: string };

/** Makes the first free one of `proof402-demo`, `proof402-demo-2` and so on in the working directory. */
export async function openDemoFolder(): Promise<DemoFolder> {
  for (let count = 1; ; count += 1) {
    const path = resolve(count === 1 ? "proof402-demo" : `proof402-demo-${count}`);
    try {
      await makeNewFolder(path);
      const [receipt, trust, config, database] = FILES.map((name) => join(path, name)) as Names;
      return { path, receipt, trust, config, database };
    } catch (error) {
      if (!Proof402Error.isInstance(error) || error.code !== "file_exists") throw error;
    }
  }
}

const FILES = ["receipt.json", "trust.json", "proof402.config.json", "proof402.db"] as const;
type Names = [string, string, string, string];

/** The demo's last commands, for its user to type again. Each is the arguments of `proof402`. */
export const commandsOf = ({ receipt, trust, config }: DemoFolder): readonly (readonly string[])[] => [
  ["verify", here(receipt), "--trust", here(trust)],
  ["--config", here(config), "receipts", "list"],
];

const here = (path: string): string => relative(process.cwd(), path);

/** Writes the folder's README. */
export const explain = (folder: DemoFolder): Promise<void> =>
  writeNew(
    join(folder.path, "README.md"),
    `# What the demo left

The market ran on this machine and is gone. Its hardware was simulated and its money was play money.

- \`receipt.json\`: the receipt of the answer that the agent acted on. Anyone can check it offline.
- \`trust.json\`: what the buyer pins (roots, measurements, model digests, payees, assets). The check needs both files.
- \`proof402.config.json\`, \`proof402.db\`, \`buyer.key\`: the buyer's configuration, receipts and play-money key.

Type these where the demo was run:

${commandsOf(folder)
  .map((args) => `    ${shellLine(args)}`)
  .join("\n")}
`,
  );
