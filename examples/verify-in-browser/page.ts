import { trustSchema, verifyReceipt } from "proof402/verify";

const element = (id: string): HTMLElement => {
  const found = document.getElementById(id);
  if (found === null) throw new Error(`The page has no #${id}.`);
  return found;
};
const [receipt, trust] = [element("receipt"), element("trust")] as HTMLInputElement[];

/** Judges the chosen receipt by the chosen trust file. Both stay in the page. */
async function judge(): Promise<string> {
  const [receiptFile, trustFile] = [receipt?.files?.[0], trust?.files?.[0]];
  if (receiptFile === undefined || trustFile === undefined) return "Choose both files.";
  // What is pinned comes from the one who verifies, never from the receipt.
  const { policy } = trustSchema.parse(JSON.parse(await trustFile.text()));
  const verified = await verifyReceipt(new Uint8Array(await receiptFile.arrayBuffer()), policy);
  if (!verified.ok) return `refused: ${verified.code}`;
  const { verdict, assurance, simulated, notProven } = verified.appraisal;
  return [`${verdict}, ${assurance}${simulated ? " (simulated hardware)" : ""}`, ...notProven].join("\n");
}

const show = async (): Promise<void> => {
  element("verdict").textContent = await judge().catch((error: unknown) => `refused: ${String(error)}`);
};
for (const input of [receipt, trust]) input?.addEventListener("change", () => void show());
