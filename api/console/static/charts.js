// Rows over time, with uPlot. The legend has the run under the pointer, else the newest one. Colours are those of the
// page, and are taken again when the system changes them.
(() => {
  "use strict";

  const SERIES = [["loaded", "--good", "Loaded"], ["failed", "--bad", "Failed"], ["skipped", "--calm-fill", "Skipped"]];
  const zone = (seconds) => new Date(seconds * 1000).toISOString().slice(0, 19).replace("T", " ");

  // Days where the axis spans several of them, else the time of day.
  function times(chart, ticks) {
    const span = chart.scales.x.max - chart.scales.x.min;
    const [from, to] = span > 3 * 86400 ? [5, 10] : [11, span < 1200 ? 19 : 16];
    return ticks.map((tick) => zone(tick).slice(from, to));
  }

  function draw() {
    for (const holder of document.querySelectorAll(".chart[data-chart]")) {
      const data = JSON.parse(holder.dataset.chart);
      const colours = getComputedStyle(document.documentElement);
      const colour = (name) => colours.getPropertyValue(name).trim();
      const axis = { stroke: colour("--muted"), grid: { stroke: colour("--line"), width: 1 }, ticks: { stroke: colour("--line"), width: 1 }, font: "11px system-ui, sans-serif" };
      const shown = SERIES.filter(([key]) => data[key].some((value) => value > 0));
      const options = {
        width: holder.clientWidth,
        height: 200,
        tzDate: (seconds) => uPlot.tzDate(new Date(seconds * 1000), "Etc/UTC"),
        cursor: { drag: { x: false, y: false } },
        scales: { y: { range: (_, low, high) => [0, Math.max(high, 1) * 1.05] } },
        axes: [{ ...axis, values: times, space: 90 }, { ...axis, size: 70, values: (_, ticks) => ticks.map((tick) => tick.toLocaleString("en")) }],
        series: [
          { label: "Run of", value: (_, at) => `${zone(at ?? data.at.at(-1))} UTC` },
          ...shown.map(([key, name, label]) => ({
            label,
            stroke: colour(name),
            width: 2,
            points: { show: true, size: 5, fill: colour(name) },
            value: (_, count) => (count ?? data[key].at(-1)).toLocaleString("en"),
          })),
        ],
      };
      holder.replaceChildren();
      new uPlot(options, [data.at, ...shown.map(([key]) => data[key])], holder);
    }
  }

  window.addEventListener("DOMContentLoaded", draw);
  window.addEventListener("resize", () => window.requestAnimationFrame(draw));
  window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
})();
