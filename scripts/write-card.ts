import { writeFile } from "node:fs/promises";
import { resolve } from "node:path";
import { bundlePage } from "./bundle-page.ts";

// The script of the receipt card, as text: a server gives the card out without any file beside it.
const script = await bundlePage(resolve("src/pages/card-app.ts"));
const text = `// Made by npm run generate:card of card-app.ts. Do not edit.\nexport const cardScript = ${JSON.stringify(script)};\n`;
await writeFile(resolve("src/pages/card-script.artifact.ts"), text);
