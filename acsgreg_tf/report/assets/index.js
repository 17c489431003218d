// A click on a heading sorts the table by its column; another turns the order round. What has no number comes last.
"use strict";
const body = document.querySelector("tbody");
for (const [column, head] of [...document.querySelectorAll("th")].entries()) {
  if (!head.dataset.sort) continue;
  head.tabIndex = 0;
  const sort = () => {
    const down = head.dataset.order === "up";
    document.querySelectorAll("th").forEach((other) => delete other.dataset.order);
    head.dataset.order = down ? "down" : "up";
    const key = (row) => {
      const cell = row.cells[column];
      if (head.dataset.sort !== "number") return cell.textContent;
      return cell.dataset.value === "" ? null : Number(cell.dataset.value);
    };
    const rows = [...body.rows].sort((a, b) => {
      const [x, y] = [key(a), key(b)];
      if (x === null || y === null) return (x === null) - (y === null);
      const order = typeof x === "string" ? x.localeCompare(y, undefined, { numeric: true }) : x - y;
      return down ? -order : order;
    });
    body.append(...rows);
  };
  head.onclick = sort;
  head.onkeydown = (event) => { if (event.key === "Enter") sort(); };
}
