import { Annotation, END, interrupt, MemorySaver, START, StateGraph } from "@langchain/langgraph";
import type { Buyer, Decision } from "proof402";
import { centsOf, subjectOf, type Line } from "./lines.ts";

/** Above this an ordinary line takes two persons, too. Cents. */
const TWO_PERSONS_ABOVE = 1_000_000n;
/** The model's own bound: a score above it is an anomaly. */
const REVIEW_ABOVE = 0.5;

/** What a person is asked, as the value of the graph's interrupt. */
export type Question = { line: string; employee: string; gross: string; why: string; person: number; of: number };
/** A person's answer, as the graph is resumed with it. */
export type Answer = { person: string; answer: "approve" | "reject"; reason: string };
/** In place of an answer: there is no one to ask now, and the line is held. */
export type Absent = "absent";

const State = Annotation.Root({
  line: Annotation<Line>,
  receiptId: Annotation<string>,
  /** Whether the receipt is verified, so that its score counts. */
  isProven: Annotation<boolean>,
  why: Annotation<string>,
  /** Persons that the line takes. */
  persons: Annotation<number>,
  answers: Annotation<Answer[]>({ reducer: (_before, now) => now, default: () => [] }),
  /** Who wanted to be both persons. */
  twice: Annotation<string | null>({ reducer: (_before, now) => now, default: () => null }),
  decision: Annotation<Decision>,
});
type Values = typeof State.State;

/** The part of a typed reason that the log takes: no sign out of sight, and a length that a reader finishes. */
const readable = (text: string): string => [...text.replaceAll(/[\p{C}\u2028\u2029]/gu, " ")].slice(0, 500).join("");

/** `approvers` are the names of all who may answer. */
export type Settings = { month: string; program: string; approvers: readonly string[] };

/**
 * One line's way: a score is bought, persons are asked where it takes them, and the decision is recorded with its receipt.
 * The graph stops at each question with LangGraph's interrupt, and goes on with `new Command({ resume: answer })`.
 */
export function approvalGraph(buyer: Buyer, { month, program, approvers }: Settings) {
  async function score({ line }: Values): Promise<Partial<Values>> {
    const { receipt, verdict, readable, answer } = await buyer.buy(
      "payroll-check",
      { features: line.features },
      {
        seller: "honest",
        assurance: "attested",
        wait: "verified",
        // One key, one payment: a run that was stopped takes the line up again.
        idempotencyKey: `payroll-${month}-line-${line.line}-${line.row.slice(0, 32)}`,
      },
    );
    const found = readable ? Number([answer["score"]].flat()[0]) : Number.NaN;
    const isProven = verdict === "verified" && found >= 0 && found <= 1;
    const isLarge = centsOf(line) > TWO_PERSONS_ABOVE;
    const isOrdinary = isProven && found <= REVIEW_ABOVE;
    return {
      receiptId: receipt.id,
      isProven,
      persons: isLarge ? 2 : isOrdinary ? 0 : 1,
      why: isProven ? `score ${found.toFixed(2)}${isLarge ? ", two persons" : ""}` : `the receipt is ${verdict}`,
    };
  }

  /** LangGraph runs this from its top after each answer, and gives the answers so far in their order. */
  function ask({ line: { line, employee, gross }, why, persons }: Values): Partial<Values> {
    const answers: Answer[] = [];
    let twice: string | null = null;
    let refused = "";
    while (answers.length < persons && answers.every(({ answer }) => answer === "approve")) {
      const question: Question = { line, employee, gross, why: why + refused, person: answers.length + 1, of: persons };
      const given: Answer | Absent = interrupt<Question, Answer | Absent>(question);
      if (given === "absent") break;
      // The list's own spelling is what counts: a name off the list never reaches the log.
      const name = approvers.find((one) => folded(one) === folded(given.person));
      if (name === undefined) refused = "; that name is not an approver's";
      else if (answers.some(({ person }) => person === name)) {
        twice = name;
        refused = `; ${name} has answered already, and another person has to`;
      } else answers.push({ ...given, person: name, reason: readable(given.reason) });
    }
    return { answers, twice: answers.length === persons ? null : twice };
  }

  async function record({ line, receiptId, isProven, why, persons, answers, twice }: Values) {
    const said = answers.map(({ answer }) => answer);
    const isApproved = isProven && answers.length === persons && said.every((word) => word === "approve");
    const outcome = isApproved ? "approved" : said.includes("reject") ? "rejected" : "held";
    const refused = twice === null ? "" : ", one person twice";
    const decision = await buyer.decide({
      purpose: `payroll ${month}`,
      subject: subjectOf(line),
      receipts: [receiptId],
      action: { [isApproved ? "pay" : "hold"]: line.gross, to: line.account, line: line.line, row: line.row },
      outcome: [outcome, why + refused, ...answers.map(({ person, reason }) => `${person}: ${reason}`)].join("\n"),
      program,
      person: answers[0]?.person,
      second: answers[1]?.person,
    });
    return { decision };
  }

  return new StateGraph(State)
    .addNode("score", score)
    .addNode("ask", ask)
    .addNode("record", record)
    .addEdge(START, "score")
    .addConditionalEdges("score", ({ persons }) => (persons === 0 ? "record" : "ask"), ["record", "ask"])
    .addEdge("ask", "record")
    .addEdge("record", END)
    .compile({ checkpointer: new MemorySaver() });
}

/** Case, spaces and forms of letters make no other person. */
const folded = (name: string): string => name.normalize("NFKC").toLowerCase().replaceAll(/\s+/g, "");
