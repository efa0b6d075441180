/* Draws every figure.vl with the page's one copy of Vega, and again when the theme, the breakpoint or the width changes.
   A classic script, so that it also runs from a file. Until it has drawn, and in print, the static twin is shown. */
(() => {
  "use strict";
  const NARROW = 520; // pixels of figure width below which labels wrap and legends stack
  const DARK = {
    axis: { labelColor: "#b3bac4", titleColor: "#e6e9ed", gridColor: "#343b44", domainColor: "#69727d", tickColor: "#69727d" },
    legend: { labelColor: "#e6e9ed" },
    range: {
      category: ["#5fb0f0", "#f5a04c", "#34c9a0", "#e58fd0", "#a8dcf7", "#dcbc3e", "#b79cff", "#b4b4b4"],
      heatmap: ["#17293a", "#7cc0f7"],
    },
    mark: { color: "#5fb0f0" },
    rule: { color: "#5fb0f0" },
    style: { note: { color: "#b3bac4" }, threshold: { color: "#b3bac4" }, total: { color: "#e6e9ed" } },
  };

  const isDark = () => document.documentElement.dataset.theme === "dark";
  const specOf = (figure) => JSON.parse(figure.querySelector('script[type="application/json"]').textContent);

  function merged(base, over) {
    const out = { ...base };
    for (const [key, value] of Object.entries(over)) {
      const deeper = out[key] && typeof value === "object" && !Array.isArray(value);
      out[key] = deeper ? merged(out[key], value) : value;
    }
    return out;
  }

  const fitted = (spec, dark, narrow) => ({
    ...spec,
    config: dark ? merged(spec.config || {}, DARK) : spec.config,
    params: (spec.params || []).map((p) => (p.name === "narrow" ? { ...p, value: narrow } : p)),
  });

  async function draw(figure) {
    const dark = isDark();
    const narrow = figure.clientWidth < NARROW;
    const look = `${dark ? "dark" : "light"} ${narrow ? "narrow" : "wide"}`;
    if (!figure.clientWidth || figure.dataset.look === look) return;
    figure.dataset.look = look;
    figure.setAttribute("aria-busy", "true");
    try {
      const spec = specOf(figure);
      const slot = figure.querySelector(".vl-live");
      if (figure.view) figure.view.finalize();
      const options = { actions: false, renderer: "svg", ast: true, tooltip: { theme: dark ? "dark" : "light" } };
      figure.view = (await vegaEmbed(slot, fitted(spec, dark, narrow), options)).view;
      slot.setAttribute("role", "img");
      slot.setAttribute("aria-label", spec.usermeta.alt);
      figure.dataset.state = "drawn";
    } catch (error) {
      figure.dataset.state = "failed"; // the static twin stays
      console.error(`${figure.id}: ${error}`);
    }
    figure.removeAttribute("aria-busy");
  }

  const quoted = (value) => {
    const text = value === null || value === undefined ? "" : String(value);
    return /[",\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
  };

  function csv(spec) {
    const rows = Object.values(spec.datasets || {}).flat();
    const columns = [...new Set(rows.flatMap((row) => Object.keys(row)))];
    const table = [columns, ...rows.map((row) => columns.map((column) => row[column]))];
    return table.map((row) => row.map(quoted).join(",")).join("\n") + "\n";
  }

  function addDownload(figure) {
    const { datasets, usermeta } = specOf(figure);
    const button = document.createElement("button");
    button.type = "button";
    button.className = "vl-csv";
    button.textContent = "Download data (CSV)";
    button.setAttribute("aria-label", `Download data (CSV): ${usermeta.title}`);
    button.addEventListener("click", () => {
      const link = document.createElement("a");
      link.href = URL.createObjectURL(new Blob([csv({ datasets })], { type: "text/csv" }));
      link.download = usermeta.csv;
      link.click();
      setTimeout(() => URL.revokeObjectURL(link.href), 1000);
    });
    figure.querySelector("figcaption").append(" ", button);
  }

  function start() {
    const figures = [...document.querySelectorAll("figure.vl")];
    const last = new Map(); // the last drawing of each figure: the next waits for it, so that the newest wins
    const redraw = (figure) => last.set(figure, (last.get(figure) || Promise.resolve()).then(() => draw(figure)));
    // A sidebar that opens changes a figure's width without a resize of the window, which is all that Vega listens to.
    let announced = false;
    const announce = () => {
      announced = false;
      window.dispatchEvent(new Event("resize"));
    };
    const sized = new ResizeObserver((entries) => {
      entries.forEach((entry) => redraw(entry.target));
      if (!announced) requestAnimationFrame(announce);
      announced = true;
    });
    for (const figure of figures) {
      const slot = document.createElement("div");
      slot.className = "vl-live";
      figure.querySelector(".vl-view").append(slot);
      addDownload(figure);
      sized.observe(figure);
    }
    const themed = new MutationObserver(() => figures.forEach(redraw));
    themed.observe(document.documentElement, { attributes: true, attributeFilter: ["data-theme"] });
  }

  if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", start);
  else start();
})();
