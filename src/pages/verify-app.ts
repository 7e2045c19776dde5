import { MAX_REPORT_BYTES } from "../receipts/report-schema.ts";
import { createVerificationCache } from "../verify/verification-cache.ts";
import { rowOf, summaryOf, tableOf, type Listed } from "./file-list.ts";
import { nameOf } from "./file-name.ts";
import { html, type Html } from "./html.ts";
import { judgeFile, readTrust, refused, type JudgedFile, type Trust } from "./judged-file.ts";
import { createSharedPayments } from "./shared-payments.ts";

/**
 * The script of `verify.html`: it judges the files that a person chooses or drops on the page. Nothing leaves the page, and nothing
 * of its address is read.
 */

/** Files are read again to be shown: a thousand of them are not held. */
const files: { name: string; file: File }[] = [];
let listed: Listed[] = [];
let shared = createSharedPayments();
/** The trust file in use. Only its own field and a button set it. A file among receipts does not. */
let trust: Trust | null = null;
/** Trust files found and not used. */
let offers: Trust[] = [];
let session = createVerificationCache();
let problems: Html[] = [];
/** The act of the reader that counts: a judgement for an earlier one is dropped. */
let turn = 0;
/** Each "start over" begins one. What was chosen before it is dropped. */
let round = 0;
/** Acts one after another: no file of a choice is lost to the next one. */
let queue: Promise<unknown> = Promise.resolve();

const MAX_FILES = 10_000;
/** Most trust files, and most problems, told of one choice. */
const MAX_TOLD = 20;
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

/** Begins an act of the reader: what was under way for an earlier one is dropped, but for the files of its choice. */
function act(step?: (isDropped: () => boolean) => Promise<void>): void {
  turn += 1;
  const [mine, own] = [turn, round];
  queue = queue.then(async () => {
    await step?.(() => own !== round);
    if (mine === turn) await judgeAll(mine);
  });
}

const take = (chosen: readonly File[]): void =>
  act(async (isDropped) => {
    const found: typeof files = [];
    const trusts: Trust[] = [];
    const told: Html[] = [];
    for (const file of chosen) {
      const name = file.webkitRelativePath === "" ? file.name : file.webkitRelativePath;
      const bytes = await bytesOf(file);
      if (isDropped()) return;
      const read = bytes === null ? null : readTrust(name, bytes);
      if (read === null) found.push({ name, file });
      else if (read === "malformed") told.push(notTrust(name));
      else trusts.push(read);
      await rest();
    }
    if (isDropped()) return;
    offer(trusts);
    const room = MAX_FILES - files.length;
    if (found.length > room)
      told.unshift(html`${found.length - room} files are left out: the page takes ${MAX_FILES}.`);
    files.push(...found.slice(0, room));
    problems = told;
  });

const notTrust = (name: string): Html =>
  html`Not used, since it calls itself a trust file and is none that this page knows: ${nameOf(name)}`;

/** The field of the trust file: the reader's own choice, but never in place of one in use without a press. */
const takeTrust = (file: File): void =>
  act(async (isDropped) => {
    const bytes = await bytesOf(file);
    if (isDropped()) return;
    const read = bytes === null ? null : readTrust(file.name, bytes);
    problems = [];
    if (read === null) problems = [html`Not used, since it is no trust file: ${nameOf(file.name)}`];
    else if (read === "malformed") problems = [notTrust(file.name)];
    else if (trust === null) use(read);
    else offer([read]);
  });

/** Each policy once, and none that is in use. */
function offer(found: readonly Trust[]): void {
  for (const one of found)
    if (one.hash !== trust?.hash && !offers.some(({ hash }) => hash === one.hash)) offers.push(one);
}

/** Nothing judged by another trust file stays on the page. */
function use(chosen: Trust): void {
  if (trust !== null) offers.push(trust);
  trust = chosen;
  offers = offers.filter(({ hash }) => hash !== chosen.hash);
  forget();
}

function forget(): void {
  [listed, shared] = [[], createSharedPayments()];
  for (const id of ["list", "page", "said"]) put(id, html``);
  showTrust();
}

async function judgeAll(mine: number): Promise<void> {
  session = createVerificationCache();
  const one = files.length === 1;
  if (one) [listed, shared] = [[], createSharedPayments()];
  showTrust();
  put("list", files.length > 1 ? tableOf(rowsFrom(0)) : html``);
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
    document.querySelector("tbody")?.insertAdjacentHTML("beforeend", html`${rowsFrom(drawn)}`.markup);
    drawn = listed.length;
    const bar = document.querySelector("progress");
    if (bar !== null) [bar.max, bar.value, bar.hidden] = [files.length, drawn, drawn === files.length];
  };
  for (let at = listed.length; at < files.length; at += 1) {
    const judged = await judge(at);
    if (mine !== turn) return;
    const { article: _article, rests, ...row } = judged;
    listed.push({ ...row, shared: shared(at + 1, rests) });
    if (one) {
      const shown = await judged.article();
      if (mine !== turn) return;
      showPage(0, shown);
    }
    await rest(draw);
    if (mine !== turn) return;
  }
  draw();
  say(summaryOf(listed));
  byId("results").dataset["shown"] = String(mine);
}

/** Counts stand first, and names of files last, each in a line of its own. */
const say = (words: string): void =>
  put(
    "said",
    html`<p>${words}</p>
      ${listOf(problems.map((one) => html`<li>${one}</li>`))}`,
  );

const listOf = (items: readonly Html[]): Html =>
  items.length === 0
    ? html``
    : html`<ul>
        ${items.slice(0, MAX_TOLD)}${items.length > MAX_TOLD ? html`<li>And ${items.length - MAX_TOLD} more.</li>` : ""}
      </ul>`;

const rowsFrom = (first: number): Html[] =>
  listed.slice(first).map((row, at) => rowOf(row, { at: first + at, name: files[first + at]?.name ?? "" }));

async function judge(at: number): Promise<JudgedFile> {
  const { name, file } = files[at] ?? { name: "", file: new File([], "") };
  const bytes = await bytesOf(file);
  if (bytes === null) {
    const message = "It could not be read. A folder is chosen in the field for folders.";
    return refused("file", name, { code: "receipt_unreadable", message });
  }
  return judgeFile({ name, bytes }, trust, session);
}

function showTrust(): void {
  put(
    "trusted",
    trust === null
      ? html`No trust file: nothing pinned is checked, and no receipt can be verified.`
      : html`Judged by the policy <code>${trust.hash}</code>. Its author says who is trusted: take it from somebody you
          trust. Its file: ${nameOf(trust.name)}`,
  );
  put(
    "offers",
    listOf(
      offers.map(
        ({ hash, name }, at) =>
          html`<li>
            A trust file, not used: policy <code>${hash}</code>.
            <button type="button" data-offer="${at}">${trust === null ? "Judge by it" : "Judge by it instead"}</button>
            Press only if you know its author. Its file: ${nameOf(name)}
          </li>`,
      ),
    ),
  );
}

function showPage(at: number, shown: Html): void {
  put(
    "page",
    html`<p>File ${at + 1}: ${nameOf(files[at]?.name ?? "")}</p>
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

for (const id of ["trust", "files", "folder"]) {
  const input = byId(id) as HTMLInputElement;
  input.addEventListener("change", () => {
    const chosen = [...(input.files ?? [])];
    const [first] = chosen;
    if (id !== "trust") take(chosen);
    else if (first !== undefined) takeTrust(first);
    // The same file chosen again is a choice, too.
    input.value = "";
  });
}
/** The number that a pressed button bears. */
const pressed = ({ target }: Event, name: "file" | "offer"): number | null => {
  const button = target instanceof Element ? target.closest("button") : null;
  const at = button?.dataset[name];
  return at === undefined ? null : Number(at);
};
byId("list").addEventListener("click", (event) => {
  const at = pressed(event, "file");
  if (at !== null) void open(at);
});
byId("offers").addEventListener("click", (event) => {
  const chosen = offers[pressed(event, "offer") ?? -1];
  if (chosen === undefined) return;
  problems = [];
  use(chosen);
  act();
});
byId("clear").addEventListener("click", () => {
  round += 1;
  [files.length, trust, offers, problems] = [0, null, [], []];
  forget();
  act();
});
document.addEventListener("dragover", (event) => event.preventDefault());
document.addEventListener("drop", (event) => {
  event.preventDefault();
  take([...(event.dataTransfer?.files ?? [])]);
});
void judgeAll(turn);
