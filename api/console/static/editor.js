// The text field of a document: line numbers, the line of a problem, and a warning before typed text is lost.
(() => {
  "use strict";

  const text = document.getElementById("text");
  if (!text) return;
  const lines = document.querySelector("[data-lines]");
  const form = document.querySelector("form[data-editor]");
  const saved = text.defaultValue;
  let leaving = false;

  function number() {
    const count = text.value.split("\n").length;
    if (lines.childElementCount === 0 || Number(lines.dataset.count) !== count) {
      lines.textContent = Array.from({ length: count }, (_, index) => index + 1).join("\n");
      lines.dataset.count = String(count);
    }
    lines.scrollTop = text.scrollTop;
  }

  function select(line) {
    const rows = text.value.split("\n");
    const start = rows.slice(0, line - 1).join("\n").length + (line > 1 ? 1 : 0);
    text.focus();
    text.setSelectionRange(start, start + (rows[line - 1] || "").length);
    const height = text.scrollHeight / rows.length;
    text.scrollTop = Math.max(0, height * (line - 1) - text.clientHeight / 3);
    lines.scrollTop = text.scrollTop;
  }

  text.addEventListener("input", number);
  text.addEventListener("scroll", () => { lines.scrollTop = text.scrollTop; });
  document.addEventListener("click", (event) => {
    const link = event.target.closest("[data-line]");
    if (link) select(Number(link.dataset.line));
  });
  form?.addEventListener("submit", () => { leaving = true; });
  window.addEventListener("beforeunload", (event) => {
    if (!leaving && text.value !== saved) event.preventDefault();
  });
  number();
})();
