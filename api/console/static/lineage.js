// Draws the lineage of columns: boxes of source columns on the left, of target columns on the right, and links. A column
// that has the focus shows where it comes from and where it goes. The data are in `data-lineage`.
(() => {
  "use strict";

  const NS = "http://www.w3.org/2000/svg";
  const ROW = 22, HEAD = 28, GAP = 18, LETTER = 7.1, BOLD = 8;

  function make(name, attributes, text) {
    const element = document.createElementNS(NS, name);
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    if (text !== undefined) element.textContent = text;
    return element;
  }

  const shorten = (text, most) => (text.length > most ? `${text.slice(0, most - 1)}…` : text);

  function sized(boxes) {
    const wide = (text, letter) => Math.min(text.length, 30) * letter;
    const longest = Math.max(60, ...boxes.flatMap((box) => [wide(box.title, BOLD), ...box.columns.map((text) => wide(text, LETTER))]));
    let y = 0;
    for (const box of boxes) {
      box.y = y;
      box.height = HEAD + box.columns.length * ROW + 4;
      y += box.height + GAP;
    }
    return { width: Math.round(longest) + 26, height: Math.max(0, y - GAP) };
  }

  const middle = (box, row) => box.y + HEAD + row * ROW + ROW / 2;

  function drawBox(svg, side, box, number, x, width) {
    const group = svg.appendChild(make("g", { class: "box", role: "listbox", "aria-label": `${side === "from" ? "Columns of" : "Columns into"} ${box.title}` }));
    group.appendChild(make("rect", { class: "frame", x, y: box.y, width, height: box.height }));
    const title = group.appendChild(make("text", { class: "name", x: x + 12, y: box.y + 19, "aria-hidden": "true" }, shorten(box.title, 30)));
    title.appendChild(make("title", {}, box.title));
    return box.columns.map((column, row) => {
      const item = group.appendChild(make("g", { class: "column", role: "option", tabindex: row ? "-1" : "0", "aria-selected": "false", "aria-label": column }));
      item.appendChild(make("rect", { x: x + 4, y: middle(box, row) - ROW / 2, width: width - 8, height: ROW }));
      item.appendChild(make("text", { x: x + 12, y: middle(box, row) + 4, "aria-hidden": "true" }, shorten(column, 30))).appendChild(make("title", {}, column));
      return { item, side, box: number, row, name: box.title, column };
    });
  }

  function sentences(chosen, links, data) {
    if (chosen.side === "to") {
      if (!links.length) return `${chosen.column} comes from no column: it is a constant, or a count.`;
      const from = links.map((link) => `${data.sources[link.from[0]].title}.${data.sources[link.from[0]].columns[link.from[1]]}`);
      const steps = [...new Set(links.flatMap((link) => link.steps))];
      return `${chosen.column} comes from ${from.join(", ")}${steps.length ? `, through ${steps.join("; ")}` : ", unchanged"}.`;
    }
    const into = links.map((link) => `${data.targets[link.to[0]].columns[link.to[1]]} of ${data.targets[link.to[0]].title}`);
    return `${chosen.name}.${chosen.column} goes into ${into.join(", ")}.`;
  }

  function drawing(holder) {
    const data = JSON.parse(holder.dataset.lineage);
    const left = sized(data.sources), right = sized(data.targets);
    const apart = Math.max(56, Math.min(420, holder.clientWidth - left.width - right.width - 2));
    const height = Math.max(left.height, right.height) + 2;
    for (const [boxes, size] of [[data.sources, left], [data.targets, right]]) {
      for (const box of boxes) box.y += (height - size.height) / 2;
    }
    const total = left.width + apart + right.width + 2;
    const svg = make("svg", { width: total, height, role: "group", "aria-label": "The columns, from the sources to the tables; the table below has the same" });
    const paths = data.links.map((link) => {
      const [x, end] = [left.width + 1, left.width + apart + 1];
      const [y, to] = [middle(data.sources[link.from[0]], link.from[1]), middle(data.targets[link.to[0]], link.to[1])];
      const bend = apart / 2;
      const path = svg.appendChild(make("path", { class: `link${link.rows ? " rows" : ""}`, d: `M${x} ${y}C${x + bend} ${y} ${end - bend} ${to} ${end} ${to}` }));
      return { link, path };
    });
    const columns = [
      ...data.sources.flatMap((box, number) => drawBox(svg, "from", box, number, 1, left.width)),
      ...data.targets.flatMap((box, number) => drawBox(svg, "to", box, number, left.width + apart + 1, right.width)),
    ];
    const said = holder.parentElement.querySelector("[data-said]");

    function show(chosen) {
      holder.chosen = chosen;
      const found = chosen ? data.links.filter((link) => link[chosen.side][0] === chosen.box && link[chosen.side][1] === chosen.row) : [];
      svg.classList.toggle("chosen", Boolean(chosen));
      for (const each of paths) each.path.classList.toggle("on", found.includes(each.link));
      for (const each of columns) {
        const on = each === chosen || found.some((link) => link[each.side][0] === each.box && link[each.side][1] === each.row);
        each.item.classList.toggle("on", on);
        each.item.setAttribute("aria-selected", String(each === chosen));
      }
      said.textContent = chosen ? sentences(chosen, found, data) : said.dataset.said;
    }

    for (const each of columns) {
      const place = (step) => {
        const other = columns.find((one) => one.side === each.side && one.box === each.box && one.row === each.row + step);
        if (!other) return;
        each.item.setAttribute("tabindex", "-1");
        other.item.setAttribute("tabindex", "0");
        other.item.focus();
      };
      each.item.addEventListener("focus", () => show(each));
      each.item.addEventListener("click", () => each.item.focus());
      each.item.addEventListener("keydown", (event) => {
        const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
        if (event.key === "Escape") show(null);
        else if (step) {
          event.preventDefault();
          place(step);
        }
      });
    }
    const before = holder.chosen;
    const again = before && columns.find((one) => one.side === before.side && one.box === before.box && one.row === before.row);
    if (again) show(again);
    return svg;
  }

  function draw() {
    for (const holder of document.querySelectorAll("[data-lineage]")) {
      if (holder.width === holder.clientWidth) continue;
      holder.width = holder.clientWidth;
      holder.replaceChildren(drawing(holder));
    }
  }

  window.addEventListener("DOMContentLoaded", draw);
  window.addEventListener("resize", () => window.requestAnimationFrame(draw));
})();
