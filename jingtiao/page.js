"use strict";
// Everything can be read without this: the language switch is a matter of style, rows are in the page.
{
  const root = document.documentElement;
  const radios = document.querySelectorAll('input[name="lang"]');
  for (const radio of radios) {
    radio.addEventListener("change", () => { root.lang = radio.value; });
    if (radio.checked) root.lang = radio.value;
  }

  // What a link leads to is opened, and everything is for printing.
  const reveal = () => {
    const place = location.hash && document.getElementById(decodeURIComponent(location.hash.slice(1)));
    if (!place) return;
    const first = place.matches("details") ? place : place.matches("h3[id]") ? place.nextElementSibling : null;
    if (first && first.matches("details")) first.open = true;
  };
  addEventListener("hashchange", reveal);
  reveal();
  addEventListener("beforeprint", () => { for (const one of document.querySelectorAll("details")) one.open = true; });

  const field = document.getElementById("search");
  if (field) {
    field.parentElement.hidden = false;
    const hits = document.getElementById("hits");
    const words = document.getElementById("hits-words");
    const groups = [...document.querySelectorAll("details.reason")].map((group) => ({
      group, rows: [...group.querySelectorAll("ul.reject")].map((row) => [row, row.textContent.toLowerCase()]),
    }));
    field.addEventListener("input", () => {
      const wanted = field.value.trim().toLowerCase();
      let found = 0;
      for (const { group, rows } of groups) {
        let here = 0;
        for (const [row, text] of rows) {
          row.hidden = wanted !== "" && !text.includes(wanted);
          if (!row.hidden) here += 1;
        }
        group.hidden = wanted !== "" && here === 0;
        group.open = wanted !== "" && here > 0;
        found += here;
      }
      words.hidden = wanted === "";
      hits.textContent = wanted === "" ? "" : String(found);
    });
  }
}
