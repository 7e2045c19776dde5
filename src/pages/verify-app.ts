import { MAX_REPORT_BYTES } from "../receipts/report-schema.ts";
import { createVerificationCache } from "../verify/verification-cache.ts";
import { html, type Html } from "./html.ts";
import { judgeFile, readTrust, refused, type JudgedFile, type Trust } from "./judged-file.ts";
import { said } from "./parts.ts";

/**
 * The script of `verify.html`: it judges the files that a person chooses or drops on the page. Nothing leaves the page, and nothing
 * of its address is read.
 */

type Listed = Omit<JudgedFile, "article">;

/** Files are read again to be shown: a thousand of them are not held. */
const files: { name: string; file: File }[] = [];
let listed: Listed[] = [];
let trust: Trust | null = null;
let session = createVerificationCache();
let problems: string[] = [];
/** The work for an earlier choice of files ends at its next step. */
let turn = 0;

const MAX_FILES = 10_000;
/** Milliseconds of work between two looks at what the reader does. */
const SLICE = 40;

const byId = (id: string): HTMLElement => {
  const found = document.getElementById(id);
  if (found === null) throw new Error(`no #${id}`);
  return found;
};
const put = (id: string, shown: Html): void => {
  byId(id).innerHTML = shown.markup;
};

let began = performance.now();
/** After a slice of work, draws and lets the page answer its reader. */
async function rest(draw?: () => void): Promise<void> {
  if (performance.now() - began < SLICE) return;
  draw?.();
  await new Promise((done) => setTimeout(done));
  began = performance.now();
}

/** One byte more than a report may have, so that its fault is named. Null if the file is gone, or a folder. */
const bytesOf = async (file: File): Promise<Uint8Array | null> => {
  try {
    // A slice of a file costs as much as the file: only a longer one is cut.
    const read = file.size > MAX_REPORT_BYTES ? file.slice(0, MAX_REPORT_BYTES + 1) : file;
    return new Uint8Array(await read.arrayBuffer());
  } catch {
    return null;
  }
};

async function take(chosen: readonly File[]): Promise<void> {
  turn += 1;
  const mine = turn;
  problems = [];
  const trusts: Trust[] = [];
  const others: typeof files = [];
  for (const file of chosen) {
    const name = file.webkitRelativePath === "" ? file.name : file.webkitRelativePath;
    const bytes = await bytesOf(file);
    const found = bytes === null ? null : readTrust(name, bytes);
    if (mine !== turn) return;
    if (found === null) others.push({ name, file });
    else if ("fault" in found) problems.push(`${found.name}: ${found.fault} It is not used.`);
    else trusts.push(found);
    await rest();
  }
  const [first, ...more] = trusts;
  if (first !== undefined && more.some(({ hash }) => hash !== first.hash))
    problems.push("Several trust files with different policies were chosen at once. None of them is used: choose one.");
  else if (first !== undefined) {
    if (trust !== null && trust.hash !== first.hash) problems.push(`${first.name} takes the place of ${trust.name}.`);
    if (trust?.hash !== first.hash) listed = [];
    trust = first;
  }
  const room = MAX_FILES - files.length;
  if (others.length > room) problems.push(`${others.length - room} files are left out: the page takes ${MAX_FILES}.`);
  files.push(...others.slice(0, room));
  await judgeAll(mine);
}

async function judgeAll(mine: number): Promise<void> {
  session = createVerificationCache();
  const one = files.length === 1;
  if (one) listed = [];
  showTrust();
  put("list", files.length > 1 ? tableOf() : html``);
  put("page", html``);
  if (globalThis.crypto?.subtle === undefined) {
    // Each signature would fail for want of a checker, and a genuine file would be called a forgery.
    say(
      "This browser checks signatures only on pages from the disk, from https or from localhost. Nothing was judged.",
    );
    return;
  }
  let drawn = listed.length;
  const draw = (): void => {
    const rows = listed.slice(drawn).map((_row, at) => rowOf(drawn + at));
    document.querySelector("tbody")?.insertAdjacentHTML("beforeend", html`${rows}`.markup);
    drawn = listed.length;
    const bar = document.querySelector("progress");
    if (bar !== null) [bar.max, bar.value, bar.hidden] = [files.length, drawn, drawn === files.length];
  };
  for (let at = listed.length; at < files.length; at += 1) {
    const judged = await judge(at);
    if (mine !== turn) return;
    const { article: _article, ...row } = judged;
    listed.push(row);
    if (one) {
      const shown = await judged.article();
      if (mine !== turn) return;
      showPage(0, shown);
    }
    await rest(draw);
    if (mine !== turn) return;
  }
  draw();
  say(summary());
  byId("results").dataset["shown"] = String(mine);
}

/** Names of files are anybody's: no sign of theirs is hidden or moves others. */
const say = (words: string): void => put("said", html`${problems.map((one) => html`${said(one)} `)}${said(words)}`);

async function judge(at: number): Promise<JudgedFile> {
  const { name, file } = files[at] ?? { name: "", file: new File([], "") };
  const bytes = await bytesOf(file);
  if (bytes === null) {
    const message = "It could not be read. A folder is chosen by the second button.";
    return refused("file", name, { code: "receipt_unreadable", message });
  }
  return judgeFile({ name, bytes }, trust, session);
}

const showTrust = (): void =>
  put(
    "trusted",
    trust === null
      ? html`No trust file: nothing pinned is checked, and no receipt can be verified.`
      : html`Judged by ${said(trust.name)}, policy ${trust.hash}. Its author says who is trusted: take it from somebody
        you trust.`,
  );

function summary(): string {
  if (files.length === 0) return "";
  const counts = new Map<string, number>();
  for (const { verdict } of listed) counts.set(verdict, (counts.get(verdict) ?? 0) + 1);
  const found = [...counts].map(([verdict, count]) => `${count} ${verdict}`).join(", ");
  return `${files.length === 1 ? "1 file" : `${files.length} files`} judged: ${found}.`;
}

const tableOf = (): Html =>
  html`<h2>Files</h2>
    <progress aria-label="Files judged" value="0"></progress>
    <table>
      <caption>
        Choose a file to see its page
      </caption>
      <thead>
        <tr>
          <th scope="col">Number</th>
          <th scope="col">File</th>
          <th scope="col">Verdict</th>
          <th scope="col">About</th>
        </tr>
      </thead>
      <tbody>
        ${listed.map((_row, at) => rowOf(at))}
      </tbody>
    </table>`;

const titleOf = ({ verdict, simulated, code }: Listed): string =>
  verdict === "refused" ? `REFUSED: ${code}` : `${verdict.toUpperCase()}${simulated ? " (simulated hardware)" : ""}`;

function rowOf(at: number): Html {
  const row = listed[at];
  if (row === undefined) return html``;
  return html`<tr>
    <td>${at + 1}</td>
    <th scope="row"><button type="button" data-file="${at}">${said(files[at]?.name ?? "")}</button></th>
    <td class="${row.verdict === "refused" ? "failed" : row.verdict}">${titleOf(row)}</td>
    <td>${said(row.about)} ${sharedWith(row, at)}</td>
  </tr>`;
}

/** What a reader of the list must not count twice. */
function sharedWith({ id, purchase }: Listed, at: number): string {
  const before = (has: (row: Listed) => boolean): number => listed.slice(0, at).findIndex(has) + 1;
  const same = id === null ? 0 : before((row) => row.id === id);
  if (same > 0) return `The same receipt as number ${same}.`;
  const rival = purchase === null ? 0 : before((row) => row.purchase === purchase);
  return rival > 0
    ? `ANOTHER RECEIPT OF THE PAYMENT OF NUMBER ${rival}: one payment justifies one action, and only buyer or seller can tell which is genuine.`
    : "";
}

function showPage(at: number, shown: Html): void {
  put(
    "page",
    html`<p>File ${at + 1}: ${said(files[at]?.name ?? "")}</p>
      ${shown}`,
  );
  byId("page").dataset["file"] = String(at);
}

let opening = 0;
/** The page of one file of several: judged again from its bytes, since it may have changed. The file asked for last is shown. */
async function open(at: number): Promise<void> {
  opening += 1;
  const [mine, own] = [turn, opening];
  const { article } = await judge(at);
  const shown = await article();
  if (mine !== turn || own !== opening) return;
  showPage(at, shown);
  byId("page").focus();
}

for (const id of ["files", "folder"]) {
  const input = byId(id) as HTMLInputElement;
  input.addEventListener("change", () => {
    void take([...(input.files ?? [])]);
    // The same file chosen again is a choice, too.
    input.value = "";
  });
}
byId("list").addEventListener("click", ({ target }) => {
  const button = target instanceof Element ? target.closest("button") : null;
  const at = button?.dataset["file"];
  if (at !== undefined) void open(Number(at));
});
byId("clear").addEventListener("click", () => {
  turn += 1;
  [files.length, listed, trust, problems] = [0, [], null, []];
  void judgeAll(turn);
});
document.addEventListener("dragover", (event) => event.preventDefault());
document.addEventListener("drop", (event) => {
  event.preventDefault();
  void take([...(event.dataTransfer?.files ?? [])]);
});
void judgeAll(turn);
