"use strict";

// What helps on every page, with or without a session. Without scripts the page works without it.
function enhance(main) {
  for (const table of main.querySelectorAll("table[data-sortable]")) makeSortable(table);
  for (const button of main.querySelectorAll("button[data-copy]")) makeCopy(button);
}

function makeSortable(table) {
  const body = table.tBodies[0];
  const asListed = [...body.rows];
  const keys = {
    name: (row) => asListed.indexOf(row),
    size: (row) => Number(row.dataset.size),
    date: (row) => row.querySelector("time")?.dateTime ?? "",
  };
  const heads = [...table.tHead.querySelectorAll("th[data-sort]")];
  for (const head of heads) {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const ascends = head.getAttribute("aria-sort") !== "ascending";
      for (const other of heads) other.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", ascends ? "ascending" : "descending");
      const rows = asListed.map((row, place) => [head.dataset.sort === "name" ? place : keys[head.dataset.sort](row), row]);
      rows.sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0));
      body.append(...(ascends ? rows : rows.reverse()).map(([, row]) => row));
    });
  }
}

function makeCopy(button) {
  const code = button.parentElement.querySelector("code");
  if (location.protocol === "https:") code.textContent = code.textContent.replace("http://", "https://");
  if (!navigator.clipboard) return;
  button.hidden = false;
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText(code.textContent);
    button.textContent = "Copied";
  });
}

enhance(document.getElementById("main"));
