import uPlot from "uplot";

const HEIGHT = 220;
const BLUE = { light: "#1f5fbf", dark: "#8ab4ff" };
const RED = { light: "#b3261e", dark: "#ff8a80" };
const GREEN = { light: "#14713d", dark: "#6fd79b" };

const dark = matchMedia("(prefers-color-scheme: dark)");
const shade = (pair: typeof BLUE): string => (dark.matches ? pair.dark : pair.light);

/** Draws each figure that holds points. Its table stays for those who do not see the picture. */
export function drawCharts(): void {
  for (const figure of document.querySelectorAll<HTMLElement>("figure[data-points]")) draw(figure);
}

function draw(figure: HTMLElement): void {
  const points = JSON.parse(figure.dataset["points"] ?? "[]") as [number, ...(number | null)[]][];
  if (points.length === 0) return;
  const box = document.createElement("div");
  box.setAttribute("aria-hidden", "true");
  figure.insertBefore(box, figure.querySelector("details"));
  const isBars = figure.dataset["chart"] === "bars";
  const unit = figure.dataset["unit"] ?? "";
  const columns = (points[0] ?? []).map((_, at) => points.map((point) => point[at] ?? null));
  const line = figure.dataset["line"];
  if (line !== undefined) columns.push(points.map(() => Number(line)));
  let plot: uPlot | null = null;
  const make = (): void => {
    plot?.destroy();
    const stroke = getComputedStyle(document.body).color;
    const axis = { stroke, grid: { stroke: "#8884" }, ticks: { stroke: "#8884" } };
    const series: uPlot.Series[] = isBars ? barSeries() : pointSeries();
    plot = new uPlot(
      {
        width: Math.max(figure.clientWidth, 200),
        height: HEIGHT,
        tzDate: (at) => uPlot.tzDate(new Date(at * 1000), "Etc/UTC"),
        cursor: { show: false },
        legend: { show: true, live: false },
        axes: [axis, { ...axis, size: 70, label: unit, labelSize: 20 }],
        series: [{}, ...series],
      },
      columns as uPlot.AlignedData,
      box,
    );
  };
  make();
  dark.addEventListener("change", make);
  addEventListener("resize", () => plot?.setSize({ width: Math.max(figure.clientWidth, 200), height: HEIGHT }));
}

const barSeries = (): uPlot.Series[] => {
  const paths = uPlot.paths.bars?.({ size: [0.8, 60], align: 1 });
  return [
    { label: "counted", stroke: shade(BLUE), fill: `${shade(BLUE)}99`, ...(paths === undefined ? {} : { paths }) },
    { label: "cap", stroke: shade(RED), width: 2, dash: [8, 4], points: { show: false } },
  ];
};

const pointSeries = (): uPlot.Series[] => [
  { label: "answered after", stroke: shade(BLUE), paths: () => null, points: { show: true, size: 5 } },
  { label: "checked after", stroke: shade(GREEN), paths: () => null, points: { show: true, size: 7 } },
];
