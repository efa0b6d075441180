/* Long tables: any .table-scroll with data-page gets a search, choices for the heads marked data-choose, sorting by its heads
   and pages of that many rows. A classic script that asks for nothing, so that it also runs from a file. Without it, and in
   print, the table stands whole. */
(() => {
  "use strict";
  const made = (name, attributes, ...inside) => {
    const element = document.createElement(name);
    Object.entries(attributes).forEach(([key, value]) => element.setAttribute(key, value));
    element.append(...inside);
    return element;
  };
  const plain = (text) => text.normalize("NFKD").replace(/[\u0300-\u036f]/g, "").toLowerCase();
  const collator = new Intl.Collator("en", { numeric: true });

  /* Numbers by value, words by letter; a dash is less than anything. */
  function compare(one, other) {
    const [a, b] = [one, other].map((text) => (/^-?[\d,.]+(e[+-]?\d+)?%?$/i.test(text) ? parseFloat(text.replaceAll(",", "")) : NaN));
    if (one === "–" || other === "–") return (other === "–") - (one === "–");
    return Number.isNaN(a - b) ? collator.compare(one, other) : a - b;
  }

  function enhance(region) {
    const size = Number(region.dataset.page);
    const heads = [...region.querySelectorAll("thead th")];
    const body = region.querySelector("tbody");
    const rows = [...body.rows].map((row, place) => {
      const cells = [...row.cells].map((cell) => cell.textContent.trim());
      return { row, place, cells, words: plain(cells.join(" ")) };
    });
    const state = { page: 0, column: -1, down: false };
    const search = made("input", { type: "search", autocomplete: "off", spellcheck: "false" });
    const choices = heads.flatMap((head, column) => {
      if (!("choose" in head.dataset)) return [];
      const known = [...new Set(rows.map(({ cells }) => cells[column]))].sort(collator.compare);
      const choice = made("select", {}, made("option", { value: "" }, "all"), ...known.map((word) => made("option", {}, word)));
      return [{ choice, column, label: made("label", {}, `${head.textContent.trim()} `, choice) }];
    });
    const told = made("p", { role: "status" });
    const step = (words, by) => {
      const button = made("button", { type: "button" }, words);
      button.addEventListener("click", () => show((state.page += by)));
      return button;
    };
    const back = step("Previous", -1);
    const on = step("Next", 1);

    const kept = () => {
      const asked = plain(search.value).split(/\s+/).filter(Boolean);
      return rows.filter(
        ({ cells, words }) =>
          asked.every((word) => words.includes(word)) &&
          choices.every(({ choice, column }) => !choice.value || cells[column] === choice.value),
      );
    };

    function show() {
      const found = kept();
      const pages = Math.max(1, Math.ceil(found.length / size));
      state.page = Math.min(Math.max(state.page, 0), pages - 1);
      const first = state.page * size;
      const seen = new Set(found.slice(first, first + size));
      rows.forEach((one) => one.row.classList.toggle("off", !seen.has(one)));
      // A button that has the focus stays: one that is disabled would lose it.
      back.setAttribute("aria-disabled", state.page === 0);
      on.setAttribute("aria-disabled", state.page === pages - 1);
      const range = found.length ? `${first + 1} to ${first + seen.size} of ${found.length}` : "None";
      told.textContent = range + (found.length < rows.length ? ` found among ${rows.length} rows` : " rows");
    }

    const again = () => show((state.page = 0));

    function sort(column) {
      state.down = state.column === column && !state.down;
      state.column = column;
      const sign = state.down ? -1 : 1;
      rows.sort((a, b) => sign * compare(a.cells[column], b.cells[column]) || a.place - b.place);
      heads.forEach((head, at) => {
        if (at === column) head.setAttribute("aria-sort", state.down ? "descending" : "ascending");
        else head.removeAttribute("aria-sort");
      });
      body.append(...rows.map(({ row }) => row));
      again();
    }

    heads.forEach((head, column) => {
      const button = made("button", { type: "button", class: "table-sort" }, ...head.childNodes);
      button.addEventListener("click", () => sort(column));
      head.append(button);
    });
    search.addEventListener("input", again);
    choices.forEach(({ choice }) => choice.addEventListener("change", again));
    const name = region.getAttribute("aria-label");
    const tools = [made("label", {}, "Search ", search), ...choices.map(({ label }) => label)];
    region.before(made("div", { class: "table-tools", role: "search", "aria-label": name }, ...tools));
    region.after(made("div", { class: "table-tools table-pages", role: "group", "aria-label": `Pages: ${name}` }, back, on, told));
    show();
  }

  const start = () => document.querySelectorAll(".table-scroll[data-page]").forEach(enhance);
  if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", start);
  else start();
})();
