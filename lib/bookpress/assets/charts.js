/* Draws each figure.vl with the page's one copy of Vega: again when the theme or the breakpoint changes. A classic script, so that it also runs from a file. */
(() => {
  "use strict";
  const NARROW = 520; // pixels of figure width below which labels wrap and legends stack
  const DARK = {
    axis: { labelColor: "#b3bac4", titleColor: "#e6e9ed", gridColor: "#343b44", domainColor: "#69727d", tickColor: "#69727d" },
    legend: { labelColor: "#e6e9ed" },
    range: { category: ["#5fb0f0", "#f5a04c", "#34c9a0", "#e58fd0", "#a8dcf7", "#dcbc3e", "#b79cff", "#b4b4b4"], heatmap: ["#17293a", "#7cc0f7"] },
    mark: { color: "#5fb0f0" },
    rule: { color: "#5fb0f0" },
    style: { note: { color: "#b3bac4" }, threshold: { color: "#b3bac4" }, total: { color: "#e6e9ed" } },
  };

  const merged = (base, over) => {
    const out = { ...base };
    for (const [key, value] of Object.entries(over)) {
      const both = out[key] && typeof value === "object" && !Array.isArray(value);
      out[key] = both ? merged(out[key], value) : value;
    }
    return out;
  };
  const dark = () => document.documentElement.dataset.theme === "dark";
  const specOf = (figure) => JSON.parse(figure.querySelector('script[type="application/json"]').textContent);

  const fitted = (spec, narrow) => ({
    ...spec,
    config: dark() ? merged(spec.config || {}, DARK) : spec.config,
    params: spec.params.map((p) => (p.name === "narrow" ? { ...p, value: narrow } : p)),
  });

  async function draw(figure, view) {
    const spec = specOf(figure);
    const narrow = figure.clientWidth < NARROW;
    const state = `${dark()} ${narrow}`;
    if (figure.dataset.look === state) return;
    figure.dataset.look = state;
    try {
      if (figure.vegaView) figure.vegaView.finalize();
      const made = await vegaEmbed(view, fitted(spec, narrow), { actions: false, renderer: "svg", ast: true, tooltip: { theme: dark() ? "dark" : "light" } });
      figure.vegaView = made.view;
      view.setAttribute("role", "img");
      view.setAttribute("aria-label", spec.usermeta.alt);
      figure.dataset.state = "drawn";
    } catch (error) {
      figure.dataset.state = "failed";
      console.error(`${figure.id}: ${error}`);
    }
  }

  const quoted = (value) => {
    const text = value === null || value === undefined ? "" : String(value);
    return /[",\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
  };

  function csv(spec) {
    const rows = Object.values(spec.datasets || {}).flat();
    const columns = [...new Set(rows.flatMap((row) => Object.keys(row)))];
    return [columns, ...rows.map((row) => columns.map((c) => row[c]))].map((r) => r.map(quoted).join(",")).join("\n") + "\n";
  }

  function addDownload(figure) {
    const spec = specOf(figure);
    const button = document.createElement("button");
    button.type = "button";
    button.className = "vl-csv";
    button.textContent = "Download data (CSV)";
    button.addEventListener("click", () => {
      const link = document.createElement("a");
      link.href = URL.createObjectURL(new Blob([csv(spec)], { type: "text/csv" }));
      link.download = spec.usermeta.csv;
      link.click();
      setTimeout(() => URL.revokeObjectURL(link.href), 1000);
    });
    figure.querySelector("figcaption").append(" ", button);
  }

  function start() {
    const figures = [...document.querySelectorAll("figure.vl")];
    const views = new Map();
    for (const figure of figures) {
      const slot = document.createElement("div");
      slot.className = "vl-live";
      figure.querySelector(".vl-view").append(slot);
      views.set(figure, slot);
      addDownload(figure);
    }
    const drawAll = () => figures.forEach((figure) => draw(figure, views.get(figure)));
    drawAll();
    new MutationObserver(drawAll).observe(document.documentElement, { attributes: true, attributeFilter: ["data-theme"] });
    window.addEventListener("resize", drawAll);
  }

  if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", start);
  else start();
})();
