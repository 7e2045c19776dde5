import { drawCharts } from "./charts.ts";

/** The pages' one script. Without it they work as they were served: it keeps them fresh and draws their tables. */

type News = { pages: string[]; receipts: { id: string; verdict: string }[]; trouble: string | null };

const status = document.getElementById("live");
const say = (words: string): void => {
  if (status !== null) status.textContent = words;
};

/** The parts of this page that news make stale; without any, all that news could. */
function partsOf(news: News | null): HTMLElement[] {
  const parts = [...document.querySelectorAll<HTMLElement>("[data-live]")];
  if (news === null) return parts;
  const { pages, receipts } = news;
  return parts.filter(({ dataset: { live = "", receipt } }) =>
    live === "receipt"
      ? receipts.some(({ id }) => id === receipt)
      : live === "approval"
        ? pages.includes("approvals")
        : live === "verdicts"
          ? receipts.some(({ id }) => document.querySelector(`[data-receipt="${id}"]`) !== null)
          : pages.includes(live),
  );
}

/** Reads the page again and puts its parts in the place of the old ones; the reader's place stays. */
async function refresh(news: News | null): Promise<void> {
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

/** How often a page looks by itself if other pages hold all streams of news, ms. */
const LOOK_MS = 5000;

/** Keeps the page fresh while it is in sight. A hidden one holds no connection: a browser has few for all its pages. */
function listen(): void {
  const { documentElement: root } = document;
  const at = root.dataset["at"] ?? "";
  let stop = (): void => undefined;
  let waiting: Promise<void> = Promise.resolve();
  const renew = (news: News | null): void => {
    waiting = waiting.then(() => refresh(news)).catch(() => say("The program behind this page has ended."));
  };
  /** `missed` if news may have come since the page was read. */
  const start = (missed: boolean): void => {
    const source = new EventSource(`${at}/news`);
    let looking: ReturnType<typeof setInterval> | undefined;
    let isStale = missed;
    stop = (): void => {
      source.close();
      clearInterval(looking);
      root.removeAttribute("data-listening");
    };
    source.addEventListener("news", ({ data }: MessageEvent<string>) => {
      const news = JSON.parse(data) as News;
      if (news.trouble !== null) say(news.trouble);
      renew(news);
    });
    source.addEventListener("open", () => {
      root.setAttribute("data-listening", "");
      if (isStale) renew(null);
      isStale = true;
    });
    source.addEventListener("enough", () => {
      source.close();
      root.setAttribute("data-listening", "by itself");
      looking = setInterval(() => renew(null), LOOK_MS);
    });
    source.addEventListener("error", () => {
      if (source.readyState === EventSource.CLOSED) say("News do not come any more. Load the page again.");
    });
  };
  if (!document.hidden) start(false);
  document.addEventListener("visibilitychange", () => {
    stop();
    if (!document.hidden) start(true);
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
