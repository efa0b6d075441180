/* Long tables: any .table-scroll with data-page gets a search, choices for the heads marked data-choose, sorting by its heads
   and pages of that many rows. One with data-tables lists tables of which the script beside each file holds the rows: they
   are fetched when a reader chooses one, by a classic script that also runs from a file. Without scripts, and in print, the
   tables of the page stand whole and the listed ones are links. */
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
  const EMPTY = "–";

  /* Numbers by value, words by letter; a dash is less than anything. */
  function compare(one, other) {
    const [a, b] = [one, other].map((text) => (/^-?[\d,.]+(e[+-]?\d+)?%?$/i.test(text) ? parseFloat(text.replaceAll(",", "")) : NaN));
    if (one === EMPTY || other === EMPTY) return (other === EMPTY) - (one === EMPTY);
    return Number.isNaN(a - b) ? collator.compare(one, other) : a - b;
  }

  /* rows: cells, words and place of each; drawn(found, seen): put these on the page. Gives the tools above and below. */
  function paged({ region, heads, rows, size, chosen, drawn, folded }) {
    const state = { page: 0, column: -1, down: false };
    const search = made("input", { type: "search", autocomplete: "off", spellcheck: "false" });
    const choices = chosen.map((column) => {
      const known = [...new Set(rows.map(({ cells }) => cells[column]))].sort(collator.compare);
      const choice = made("select", {}, made("option", { value: "" }, "all"), ...known.map((word) => made("option", {}, word)));
      return { choice, column, label: made("label", {}, `${heads[column].textContent.trim()} `, choice) };
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
        (one) =>
          choices.every(({ choice, column }) => !choice.value || one.cells[column] === choice.value) &&
          (!asked.length || ((one.words ??= plain(one.cells.join(" "))), asked.every((word) => one.words.includes(word)))),
      );
    };

    function show() {
      const found = kept();
      const pages = Math.max(1, Math.ceil(found.length / size));
      state.page = Math.min(Math.max(state.page, 0), pages - 1);
      const first = state.page * size;
      const seen = found.slice(first, first + size);
      drawn(rows, seen);
      // A button that has the focus stays: one that is disabled would lose it.
      back.setAttribute("aria-disabled", state.page === 0);
      on.setAttribute("aria-disabled", state.page === pages - 1);
      const range = found.length ? `${first + 1} to ${first + seen.length} of ${found.length}` : "None";
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
    const labels = choices.map(({ label }) => label);
    const filters = made("details", { class: "table-filters" }, made("summary", {}, "Choose by column"), made("div", { class: "table-tools" }, ...labels));
    const tools = [made("label", {}, "Search ", search), ...(folded ? (labels.length ? [filters] : []) : labels)];
    region.before(made("div", { class: "table-tools", role: "search", "aria-label": name }, ...tools));
    region.after(made("div", { class: "table-tools table-pages", role: "group", "aria-label": `Pages: ${name}` }, back, on, told));
    show();
  }

  /* A table of the page: its rows stay where they are, those not seen are hidden. */
  function enhance(region) {
    const heads = [...region.querySelectorAll("thead th")];
    const body = region.querySelector("tbody");
    const rows = [...body.rows].map((row, place) => ({ row, place, cells: [...row.cells].map((cell) => cell.textContent.trim()) }));
    const chosen = heads.flatMap((head, column) => ("choose" in head.dataset ? [column] : []));
    const drawn = (all, seen) => {
      const shown = new Set(seen);
      all.forEach((one) => one.row.classList.toggle("off", !shown.has(one)));
      body.append(...all.map(({ row }) => row));
    };
    paged({ region, heads, rows, size: Number(region.dataset.page), chosen, drawn });
  }

  /* ---- tables that lie beside the page ---- */

  const PAGE = 20;
  const MOST_CHOICES = 60;
  const DAY = 86400000;

  /* A file's rows, its head first. */
  function parsed(text) {
    const rows = [[]];
    for (const [, quoted, bare, end] of text.matchAll(/(?:"((?:[^"]|"")*)"|([^",\r\n]*))(,|\r?\n|$)/g)) {
      rows[rows.length - 1].push(quoted === undefined ? bare : quoted.replaceAll('""', '"'));
      if (end !== ",") rows.push([]);
    }
    return rows.filter((row) => row.length > 1 || row[0]);
  }

  const asked = {};
  /* One table as records by its head, fetched once. */
  const table = (home, name) =>
    (asked[name] ??= new Promise((done, failed) => {
      const script = made("script", { src: home + name + ".js" });
      script.onload = () => {
        const [head, ...rows] = parsed(window.bookTables[name]);
        delete window.bookTables[name];
        done({ head, rows });
      };
      script.onerror = () => {
        delete asked[name];
        failed(new Error(name));
      };
      document.head.append(script);
    }));

  /* The last day that a date as exactly as known can mean. */
  const lastDay = (text) => {
    const [year, month, day] = text.split("-").map(Number);
    return day ? Date.UTC(year, month - 1, day) : Date.UTC(year, month || 12, 0);
  };

  function linked(url, text, title = "") {
    return /^https?:\/\//.test(url || "") ? made("a", { class: "reference external", href: url, ...(title && { title }) }, text) : text;
  }

  /* The cells of a row: as written, and where its date is known how old it is. */
  function cellsOf(row, dated, aged, facts) {
    const cells = row.map((cell) => cell || EMPTY);
    if (dated < 0) return cells;
    const days = row[dated] ? Math.round((Date.parse(facts.on) - lastDay(row[dated])) / DAY) : NaN;
    const age = Number.isNaN(days) ? EMPTY : String(Math.max(days, 0));
    return aged ? [...cells, age, Number.isNaN(days) ? EMPTY : days > facts.shelf_days ? "past" : "within"] : [...cells, age];
  }

  function codebook(book, words) {
    const said = book.flatMap(({ column, type, unit, required, description }) => {
      const kind = type.startsWith("enum:") ? `one of ${type.slice(5).replaceAll("|", ", ")}` : type;
      const about = [description, kind, unit && `in ${unit}`, required === "true" ? "always filled" : "may be empty"];
      return [made("dt", {}, column), made("dd", {}, about.filter(Boolean).join("; "))];
    });
    return made("details", { class: "table-codebook" }, made("summary", {}, words), made("dl", {}, ...said));
  }

  /* The chosen table, whole: a region, its tools and its codebook, in `place`. */
  function lay(place, name, data, book, sources, facts, file) {
    const dated = data.head.indexOf(facts.dates[name] ?? "as_of");
    const aged = facts.prices.includes(name);
    const more = dated < 0 ? [] : aged ? ["age", "shelf life"] : ["age"];
    const known = { age: { unit: "days", type: "int" }, "shelf life": { unit: `${facts.shelf_days} days`, type: "string" } };
    book.forEach((row) => (known[row.column] = row));
    const columns = [...data.head, ...more];
    const heads = columns.map((column) => {
      const unit = known[column]?.unit;
      const parts = unit && unit !== "see unit" ? [made("span", { class: "unit" }, `(${unit})`)] : [];
      return made("th", { scope: "col" }, column.replaceAll("_", " "), " ", ...parts);
    });
    const rows = data.rows.map((row, place) => ({ place, cells: cellsOf(row, dated, aged, facts) }));
    const numeric = columns.map((column) => /^(int|float|signed)$/.test(known[column]?.type));
    const at = { source: columns.indexOf("source") < 0 ? columns.indexOf("source_id") : columns.indexOf("source"), url: columns.indexOf("url") };
    const long = columns.map((_, column) => rows.some(({ cells }) => cells[column].length > 60));
    const cell = (text, column) => {
      const from = column === at.source ? sources.get(text) : undefined;
      const shown = from ? linked(from.url, text, `${from.producer}: ${from.title}, ${from.licence}`) : column === at.url ? linked(text, text) : text;
      const kind = numeric[column] ? "num" : long[column] ? "long" : "";
      return made(column ? "td" : "th", { ...(kind && column ? { class: kind } : {}), ...(column ? {} : { scope: "row" }) }, shown);
    };
    const body = made("tbody", {});
    const row = (one) => made("tr", columns[one.cells.length - 1] === "shelf life" && one.cells.at(-1) === "past" ? { class: "past" } : {}, ...one.cells.map(cell));
    const drawn = (_, seen) => body.replaceChildren(...seen.map(row));
    heads.forEach((head, column) => (numeric[column] && column ? head.classList.add("num") : long[column] && head.classList.add("long")));
    // Worth a choice: words that come again, few and short enough for a list.
    const chosen = columns.flatMap((_, column) => {
      const kinds = new Set(numeric[column] || long[column] ? [] : rows.map(({ cells }) => cells[column]));
      return kinds.size > 1 && kinds.size <= Math.min(MOST_CHOICES, rows.length / 2) ? [column] : [];
    });
    const title = `${name}: ${rows.length.toLocaleString("en")} rows`;
    const region = made("div", { class: "table-scroll table-rows", role: "region", tabindex: "0", "aria-label": title });
    region.append(made("table", {}, made("caption", {}, made("span", {}, title)), made("thead", {}, made("tr", {}, ...heads)), body));
    const save = made("a", { href: file, download: "" }, `Download ${name}.csv`);
    place.replaceChildren(made("p", { class: "table-about" }, save), codebook(book, `Codebook: the ${book.length} columns of ${name}`), region);
    paged({ region, heads, rows, size: PAGE, chosen, drawn, folded: true });
  }

  function browse(listing) {
    const links = [...listing.querySelectorAll("tbody a[href$='.csv']")];
    if (!links.length) return; // a page that stands alone has no tables beside it
    const facts = JSON.parse(listing.dataset.tables);
    const home = links[0].href.replace(/[^/]*$/, "");
    const options = links.map((link) => made("option", { value: link.textContent }, link.textContent));
    const choice = made("select", {}, made("option", { value: "" }, "choose one"), ...options);
    const told = made("p", { role: "status" });
    const place = made("div", { class: "table-place" });
    const records = ({ head, rows }) => rows.map((row) => Object.fromEntries(head.map((column, at) => [column, row[at]])));
    choice.addEventListener("change", async () => {
      const name = choice.value;
      place.replaceChildren();
      if (!name) return (told.textContent = "");
      told.textContent = "Loading";
      try {
        const [data, book, sources] = await Promise.all([name, "codebook", "sources"].map((one) => table(home, one)));
        if (choice.value !== name) return;
        const named = new Map(records(sources).map((row) => [row.id, row]));
        const file = links.find((link) => link.textContent === name).href;
        lay(place, name, data, records(book).filter((row) => row.table === name), named, facts, file);
        told.textContent = "";
      } catch {
        told.textContent = `The rows of ${name} lie in ${name}.js, which is not beside this page`;
      }
    });
    listing.before(made("div", { class: "table-tools table-choice" }, made("label", {}, "Open a table ", choice), told), place);
  }

  const start = () => {
    document.querySelectorAll(".table-scroll[data-page]").forEach(enhance);
    document.querySelectorAll(".table-scroll[data-tables]").forEach(browse);
  };
  if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", start);
  else start();
})();
