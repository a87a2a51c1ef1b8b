"use strict";
// Filters and sorts what stands in the page; everything is readable without it.
{
  const form = document.querySelector("form.tools");
  const list = document.querySelector("ol.questions");
  if (form && list) {
    const rows = [...list.children].map((item) => ({
      item,
      state: item.dataset.state,
      text: item.querySelector(".text").textContent.toLowerCase(),
      words: item.dataset.words.toLowerCase(),
      number: Number(item.dataset.number),
      rank: item.dataset.rank ? Number(item.dataset.rank) : Infinity,
      value: item.dataset.value ? Number(item.dataset.value) : Infinity,
      ms: Number(item.dataset.ms || 0),
    }));
    const fine = ["right", "not judged"];
    const orders = {
      number: (a, b) => a.number - b.number,
      value: (a, b) => a.value - b.value || a.number - b.number,
      rank: (a, b) => (a.rank === b.rank ? a.number - b.number : b.rank - a.rank),
      ms: (a, b) => b.ms - a.ms,
      text: (a, b) => a.text.localeCompare(b.text),
    };
    let order = "number";
    const show = () => {
      const terms = form.elements.find.value.toLowerCase().split(/\s+/).filter(Boolean);
      const state = form.elements.state.value;
      let count = 0;
      for (const row of rows) {
        const wanted =
          (!state || row.state === state || (state === "failed" && !fine.includes(row.state))) &&
          terms.every((term) => row.text.includes(term) || row.words.includes(term));
        row.item.hidden = !wanted;
        count += wanted;
      }
      form.querySelector(".count").textContent = `${count.toLocaleString("en")} of ${rows.length.toLocaleString("en")}`;
      if (form.elements.order.value !== order) {
        order = form.elements.order.value;
        rows.sort(orders[order]);
        list.append(...rows.map((row) => row.item));
      }
    };
    form.hidden = false;
    form.addEventListener("input", show);
    form.addEventListener("submit", (event) => event.preventDefault());
    // Arrow keys go from question to question, as in a list; Tab goes on through the page.
    list.addEventListener("keydown", (event) => {
      const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
      if (!step || event.target.localName !== "summary") return;
      const shown = [...list.querySelectorAll("li:not([hidden]) > details > summary")];
      const next = shown[shown.indexOf(event.target) + step];
      if (next) {
        event.preventDefault();
        next.focus();
      }
    });
    show();
  }
}
