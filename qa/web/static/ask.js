// Optional comfort: keyboard navigation, and the recent questions of this browser.
"use strict";

(() => {
  const KEPT = "qa.recent";
  const MOST = 8;
  const field = document.getElementById("q");
  const cards = [...document.querySelectorAll(".passage")];

  // A browser may refuse to store anything, and what is stored may be anything.
  const recent = () => {
    try {
      const kept = JSON.parse(localStorage.getItem(KEPT));
      return Array.isArray(kept) ? kept.filter((question) => typeof question === "string").slice(0, MOST) : [];
    } catch {
      return [];
    }
  };
  const keep = (questions) => {
    try {
      localStorage.setItem(KEPT, JSON.stringify(questions.slice(0, MOST)));
    } catch {
      // The questions are not kept.
    }
  };

  const section = document.getElementById("recent");
  if (section) {
    const list = section.querySelector("ul");
    for (const question of recent()) {
      const link = document.createElement("a");
      link.href = `${field.form.getAttribute("action")}?${new URLSearchParams({ q: question })}`;
      link.dir = "auto";
      link.textContent = question;
      const item = document.createElement("li");
      item.append(link);
      list.append(item);
    }
    section.hidden = !list.children.length;
    section.querySelector("button").addEventListener("click", () => {
      keep([]);
      section.hidden = true;
      field.focus();
    });
  }
  if (document.querySelector(".results") && field && field.value.trim()) {
    const asked = field.value;
    let isKept = false;
    const keepAsked = () => {
      if (!isKept) keep([asked, ...recent().filter((question) => question !== asked)]);
      isKept = true;
    };
    // Reading the storage can block: after the first paint, or when the page is left before it.
    requestAnimationFrame(() => setTimeout(keepAsked));
    addEventListener("pagehide", keepAsked);
  }

  // Cards take focus by these keys only; Tab still goes through the links in them.
  for (const card of cards) card.tabIndex = -1;
  // The arrows move between the field and the cards; anywhere else they scroll the page.
  const next = (at, by) => {
    const place = at === field ? -1 : cards.indexOf(at);
    if (at !== field && place < 0) return null;
    return place + by === -1 && by < 0 ? field : cards[place + by];
  };

  document.addEventListener("keydown", (event) => {
    if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
    const at = document.activeElement || document.body;
    if (event.key === "/" && !at.matches("input, textarea, select")) {
      event.preventDefault();
      field.focus();
      field.select();
    } else if ((event.key === "ArrowDown" || event.key === "ArrowUp") && !event.shiftKey) {
      const to = next(at, event.key === "ArrowDown" ? 1 : -1);
      if (!to) return;
      event.preventDefault();
      to.focus();
    } else if (event.key === "Enter" && cards.includes(at)) {
      at.querySelector("a.read").click();
    }
  });
})();
