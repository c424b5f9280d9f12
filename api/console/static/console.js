// What pages do besides showing what the server sent: relative times, confirmations, shortcuts.
(() => {
  "use strict";

  const UNITS = [[86400 * 365, "y"], [86400, "d"], [3600, "h"], [60, "min"], [1, "s"]];

  // The same words as `formats.relative`.
  function relative(at, now) {
    const seconds = (at - now) / 1000;
    const size = Math.abs(seconds);
    if (size < 5) return "just now";
    const [unit, name] = UNITS.find(([limit]) => size >= limit);
    const text = `${Math.floor(size / unit)} ${name}`;
    return seconds > 0 ? `in ${text}` : `${text} ago`;
  }

  function refreshTimes() {
    const now = Date.now();
    for (const element of document.querySelectorAll("time[data-relative]")) {
      const text = relative(Date.parse(element.dateTime), now);
      if (element.textContent !== text) element.textContent = text;
    }
  }

  // A link that signs in once: what follows the # is not sent to servers, and not kept in logs.
  document.addEventListener("DOMContentLoaded", () => {
    const form = document.getElementById("login");
    if (!form || !window.location.hash.startsWith("#hrl_")) return;
    form.elements.link.value = window.location.hash.slice(1);
    window.history.replaceState(null, "", window.location.pathname);
    form.elements.key.required = false;
    form.submit();
  });

  document.addEventListener("change", (event) => {
    if (event.target.matches("select[data-submits]")) event.target.form.requestSubmit();
  });

  document.addEventListener("submit", (event) => {
    const question = event.submitter?.dataset.confirm || event.target.dataset.confirm;
    if (question && !window.confirm(question)) event.preventDefault();
  });

  document.addEventListener("keydown", (event) => {
    const typing = event.target.closest("input, textarea, select");
    if (event.key === "/" && !typing && !event.ctrlKey && !event.metaKey && !event.altKey) {
      const search = document.querySelector("main input[type=search]");
      if (search) {
        event.preventDefault();
        search.focus();
      }
    }
    if (event.key === "Escape") {
      for (const menu of document.querySelectorAll("details.menu[open]")) {
        menu.open = false;
        menu.querySelector("summary").focus();
      }
    }
  });

  document.addEventListener("htmx:afterSwap", refreshTimes);
  window.setInterval(refreshTimes, 15000);
})();
