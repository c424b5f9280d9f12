// Draws graphs: dagre says where nodes are, and the picture is SVG of our own. The data are in `data-graph`.
(() => {
  "use strict";

  const NS = "http://www.w3.org/2000/svg";
  const count = (value) => value.toLocaleString("en");

  function make(name, attributes, text) {
    const element = document.createElementNS(NS, name);
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    if (text !== undefined) element.textContent = text;
    return element;
  }

  const shorten = (text, most) => (text.length > most ? `${text.slice(0, most - 1)}…` : text);
  const width = (text, each) => text.length * each;

  function lines(node) {
    const found = [["name", shorten(node.id, 28)], ["kind", shorten(node.kind, 30)]];
    if (node.rows !== undefined) found.push(["rows", `${count(node.rows)} rows out`]);
    if (node.failed) found.push(["failed", `${count(node.failed)} failed`]);
    return found;
  }

  function drawing(data, label, vertical, apart) {
    const graph = new dagre.graphlib.Graph({ multigraph: true });
    graph.setGraph({ rankdir: vertical ? "TB" : "LR", nodesep: 22, ranksep: apart, marginx: 6, marginy: 6 });
    graph.setDefaultEdgeLabel(() => ({}));
    for (const node of data.nodes) {
      const texts = lines(node);
      const wide = Math.max(...texts.map(([kind, text]) => width(text, kind === "kind" ? 5.9 : 7.1)));
      graph.setNode(node.id, { width: Math.max(wide + 24, 90), height: texts.length * 16 + 14, node, texts });
    }
    data.edges.forEach((edge, index) => {
      const text = [edge.route, edge.rows === undefined ? "" : count(edge.rows)].filter(Boolean).join(": ");
      graph.setEdge(edge.from, edge.to, { text, width: width(text, 6), height: text ? 14 : 0, labelpos: "c" }, String(index));
    });
    dagre.layout(graph);
    const box = graph.graph();
    const svg = make("svg", { width: Math.ceil(box.width), height: Math.ceil(box.height), role: "group", "aria-label": label });
    const defs = svg.appendChild(make("defs", {}));
    const head = defs.appendChild(make("marker", { id: "arrow", viewBox: "0 0 8 8", refX: 7, refY: 4, markerWidth: 7, markerHeight: 7, orient: "auto" }));
    head.appendChild(make("path", { d: "M0 0L8 4L0 8z", class: "arrow" }));
    for (const name of graph.edges()) {
      const edge = graph.edge(name);
      const group = svg.appendChild(make("g", { class: "edge" }));
      const [first, ...rest] = edge.points;
      const path = rest.reduce((drawn, point) => `${drawn}L${point.x.toFixed(1)} ${point.y.toFixed(1)}`, `M${first.x.toFixed(1)} ${first.y.toFixed(1)}`);
      group.appendChild(make("path", { d: path, "marker-end": "url(#arrow)" }));
      if (edge.text) {
        const place = vertical ? { x: edge.x + 8, "text-anchor": "start" } : { x: edge.x, "text-anchor": "middle" };
        group.appendChild(make("text", { ...place, y: edge.y + 4 }, edge.text));
      }
    }
    for (const id of graph.nodes()) {
      const place = graph.node(id);
      const { node, texts } = place;
      const parent = node.href ? svg.appendChild(make("a", { href: node.href, "aria-label": `${node.id}: ${texts.slice(1).map(([, text]) => text).join(", ")}` })) : svg;
      if (node.current) parent.setAttribute("aria-current", "true");
      const group = parent.appendChild(make("g", { class: `node${node.failed ? " has-failed" : ""}` }));
      group.appendChild(make("title", {}, `${node.id} (${node.kind})`));
      group.appendChild(make("rect", { x: place.x - place.width / 2, y: place.y - place.height / 2, width: place.width, height: place.height }));
      texts.forEach(([kind, text], index) => {
        const y = place.y - place.height / 2 + 19 + index * 16;
        group.appendChild(make("text", { x: place.x - place.width / 2 + 12, y, class: kind }, text));
      });
    }
    return svg;
  }

  function draw() {
    for (const holder of document.querySelectorAll(".graph[data-graph]")) {
      const narrow = holder.clientWidth < 560;
      const key = `${narrow} ${holder.dataset.graph}`;
      if (holder.drawn === key) continue;
      holder.drawn = key;
      const data = JSON.parse(holder.dataset.graph);
      const label = holder.dataset.label || "Graph";
      const fits = (picture) => Number(picture.getAttribute("width")) <= holder.clientWidth;
      let svg = drawing(data, label, narrow, narrow ? 40 : 70);
      for (const [vertical, apart] of narrow ? [] : [[false, 12], [true, 36]]) {
        if (fits(svg)) break;
        const other = drawing(data, label, vertical, apart);
        if (fits(other)) svg = other;
      }
      holder.replaceChildren(svg);
      const scrolls = Number(svg.getAttribute("width")) > holder.clientWidth;
      if (scrolls) holder.tabIndex = 0;
      else holder.removeAttribute("tabindex");
    }
  }

  window.addEventListener("DOMContentLoaded", draw);
  document.addEventListener("htmx:afterSettle", draw);
  window.addEventListener("resize", () => window.requestAnimationFrame(draw));
})();
