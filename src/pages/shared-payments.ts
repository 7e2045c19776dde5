/** What a file of a list rests on: receipts by id, each with its payment. */
export type Rests = { kind: "receipt" | "report"; receipts: readonly { id: string; purchase: string }[] };

/** Says of each file of a list, in the list's order, what a reader must not count twice. */
export function createSharedPayments(): (number: number, rests: Rests) => string {
  const seen = new Map<string, { number: number; id: string; kind: Rests["kind"] }[]>();
  return (number, { kind, receipts }) => {
    const words = new Set<string>();
    for (const { id, purchase } of receipts) {
      const before = seen.get(purchase) ?? [];
      const [of, rival] = [before.filter((one) => one.id === id), before.find((one) => one.id !== id)];
      const same = of.find((one) => one.kind === kind) ?? of[0];
      if (same !== undefined) words.add(sameText(same, kind));
      else if (rival !== undefined) words.add(rivalText(rival));
    }
    for (const { id, purchase } of receipts) {
      const before = seen.get(purchase) ?? [];
      // Of each receipt the first file and the first report: a list of thousands is not searched through.
      if (before.some((one) => one.id === id && one.kind === kind)) continue;
      seen.set(purchase, [...before, { number, id, kind }]);
    }
    return [...words].join(" ");
  };
}

function sameText({ number, kind }: { number: number; kind: Rests["kind"] }, here: Rests["kind"]): string {
  if (kind === "receipt" && here === "receipt") return `The same receipt as number ${number}.`;
  if (kind === "report" && here === "report")
    return `RESTS ON A PAYMENT THAT THE REPORT OF NUMBER ${number} RESTS ON: one payment justifies one action.`;
  return `Of one payment with number ${number}: the same receipt, alone and in a report.`;
}

const rivalText = ({ number }: { number: number }): string =>
  `ANOTHER RECEIPT OF THE PAYMENT OF NUMBER ${number}: one payment justifies one action, and only buyer or seller can tell which is genuine.`;
