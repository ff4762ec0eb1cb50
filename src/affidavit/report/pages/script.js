"use strict";
// Sorting, filtering, folding and zooming only: everything is readable without this script. It makes its own controls, puts
// text into the page as text, and asks nobody for anything; only a page of affidavit view asks its own server for progress.
(() => {
  const all = (selector, from = document) => [...from.querySelectorAll(selector)];
  const button = (label, act) => {
    const made = document.createElement("button");
    made.type = "button";
    made.textContent = label;
    made.addEventListener("click", act);
    return made;
  };
  for (const table of all("table.sortable")) {
    all("thead th", table).forEach((head, column) => {
      let ascending = false;
      const text = head.textContent.trim();
      head.textContent = "";
      head.append(button(text, () => {
        ascending = !ascending;
        const key = (row) => row.cells[column].dataset.key ?? row.cells[column].textContent.trim();
        const rows = all("tbody tr", table).sort((a, b) => {
          const order = key(a).localeCompare(key(b), "en", {numeric: true});
          return ascending ? order : -order;
        });
        table.tBodies[0].append(...rows);
        all("thead th", table).forEach((other) => other.removeAttribute("aria-sort"));
        head.setAttribute("aria-sort", ascending ? "ascending" : "descending");
      }));
    });
  }
  for (const place of all("[data-folds]")) {
    const fold = (open) => all("details.trial").forEach((one) => { one.open = open; });
    place.append(button("Unfold all", () => fold(true)), button("Fold all", () => fold(false)));
  }
  for (const place of all("[data-filter]")) {
    const label = document.createElement("label");
    const field = document.createElement("input");
    field.type = "search";
    label.append("Filter trials ", field);
    field.addEventListener("input", () => {
      const wanted = field.value.toLowerCase();
      for (const one of all(place.dataset.filter)) {
        const shown = one.querySelector("summary") ?? one;
        one.hidden = !shown.textContent.toLowerCase().includes(wanted);
      }
    });
    place.append(label);
  }
  for (const figure of all("figure.zoom")) {
    const drawing = figure.querySelector("svg");
    let factor = 1;
    const zoom = (by) => () => {
      factor = Math.min(8, Math.max(1, factor * by));
      drawing.style.maxWidth = "none";
      // Of what the style gives it: all of its place, or more where that is narrow.
      drawing.style.width = `max(${factor * 100}%, ${factor * 50}rem)`;
    };
    const tools = document.createElement("div");
    tools.className = "tools";
    tools.append(button("Zoom in", zoom(2)), button("Zoom out", zoom(0.5)));
    figure.prepend(tools);
  }
  // What scrolls can be reached by keyboard; not every browser sees to that.
  const reach = () => {
    for (const place of all(".wide, pre")) {
      const scrolls = place.scrollWidth > place.clientWidth || place.scrollHeight > place.clientHeight;
      if (scrolls) place.tabIndex = 0;
      else place.removeAttribute("tabindex");
    }
  };
  reach();
  addEventListener("resize", reach);
  document.addEventListener("toggle", reach, true);
  if (document.body.dataset.events) {
    const line = document.createElement("p");
    line.className = "gap";
    line.setAttribute("role", "status");
    document.querySelector("header").append(line);
    const source = new EventSource(document.body.dataset.events);
    source.addEventListener("progress", (event) => {
      const {trials, finished, state} = JSON.parse(event.data);
      line.textContent = `${finished ? "The run is finished" : "The run is not finished"}; trials judged: ${trials}. `;
      if (state !== document.body.dataset.state) line.append(button("Show what is new", () => location.reload()));
      if (finished) source.close();
    });
    source.addEventListener("error", () => { line.textContent = "There is no connection to affidavit view any more."; });
  }
  const reveal = () => {
    const target = document.getElementById(location.hash.slice(1));
    for (let one = target; one; one = one.parentElement) if (one.tagName === "DETAILS") one.open = true;
    if (target) target.scrollIntoView();
  };
  addEventListener("hashchange", reveal);
  addEventListener("beforeprint", () => all("details").forEach((one) => { one.open = true; }));
  if (location.hash) reveal();
})();
