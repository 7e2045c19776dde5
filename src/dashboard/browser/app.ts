import { drawCharts } from "./charts.ts";

/** The pages' one script. Without it they work as they were served: it keeps them fresh and draws their tables. */

type News = { pages: string[]; receipts: { id: string; verdict: string }[]; trouble: string | null };

const status = document.getElementById("live");
const say = (words: string): void => {
  if (status !== null) status.textContent = words;
};

/** The parts of this page that news make stale. */
const partsOf = ({ pages, receipts }: News): HTMLElement[] =>
  [...document.querySelectorAll<HTMLElement>("[data-live]")].filter(({ dataset: { live = "", receipt } }) =>
    live === "receipt"
      ? receipts.some(({ id }) => id === receipt)
      : live === "approval"
        ? pages.includes("approvals")
        : live === "verdicts"
          ? receipts.some(({ id }) => document.querySelector(`[data-receipt="${id}"]`) !== null)
          : pages.includes(live),
  );

/** Reads the page again and puts its parts in the place of the old ones; the reader's place stays. */
async function refresh(news: News): Promise<void> {
  const parts = partsOf(news);
  if (parts.length === 0) return;
  const answer = await fetch(location.href);
  if (!answer.ok) {
    say("This page could not be read again. Load it to see why.");
    return;
  }
  const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
  for (const part of parts) {
    const { live = "" } = part.dataset;
    const now = fresh.querySelector(`[data-live="${live}"]`);
    if (now === null || now.innerHTML === part.innerHTML) continue;
    const { activeElement: focused } = document;
    const link = focused !== null && part.contains(focused) ? focused.getAttribute("href") : null;
    const opened = [...part.querySelectorAll("details")].map(({ open }) => open);
    part.replaceChildren(...now.childNodes);
    for (const [at, box] of [...part.querySelectorAll("details")].entries()) box.open = opened[at] ?? box.open;
    if (link !== null) [...part.querySelectorAll("a")].find((one) => one.getAttribute("href") === link)?.focus();
    say(live === "approval" ? "This payment changed. Load the page again before you answer." : "Updated just now.");
  }
}

function listen(): void {
  const at = document.documentElement.dataset["at"] ?? "";
  const source = new EventSource(`${at}/news`);
  let waiting: Promise<void> = Promise.resolve();
  source.addEventListener("news", ({ data }: MessageEvent<string>) => {
    const news = JSON.parse(data) as News;
    if (news.trouble !== null) say(news.trouble);
    waiting = waiting.then(() => refresh(news)).catch(() => say("The program behind this page has ended."));
  });
  source.addEventListener("open", () => document.documentElement.setAttribute("data-listening", ""));
  source.addEventListener("error", () => {
    if (source.readyState === EventSource.CLOSED) say("News do not come any more. Load the page again.");
  });
}

document.addEventListener("submit", ({ target }) => {
  if (!(target instanceof HTMLFormElement) || target.method !== "post") return;
  // The pressed button is part of what is sent.
  setTimeout(() => {
    for (const button of target.querySelectorAll("button")) button.disabled = true;
  }, 0);
});

drawCharts();
if (document.querySelector("[data-live]") !== null) listen();
