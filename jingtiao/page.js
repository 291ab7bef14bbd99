"use strict";
// Everything can be read without this: the language switch is a matter of style, rows are in the page.
{
  const root = document.documentElement;
  const radios = document.querySelectorAll('input[name="lang"]');
  for (const radio of radios) {
    radio.addEventListener("change", () => { root.lang = radio.value; });
    if (radio.checked) root.lang = radio.value;
  }

  const field = document.getElementById("search");
  if (field) {
    field.parentElement.hidden = false;
    const hits = document.getElementById("hits");
    const words = document.getElementById("hits-words");
    const groups = [...document.querySelectorAll("details.reason")].map((group) => ({
      group, rows: [...group.querySelectorAll(".reject")].map((row) => [row, row.textContent.toLowerCase()]),
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

  // A row's id leads to the command that tells its whole story: the page can't run it, but fills it in.
  const wanted = document.getElementById("look-id");
  if (wanted) {
    const quoted = (text) => (/^[\w@%+=:,.\/-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`);
    const fill = (place, text) => { for (const one of document.querySelectorAll(`.ask ${place}`)) one.textContent = text; };
    const show = () => fill(".row", wanted.value.trim() === "" ? "ID" : quoted(wanted.value.trim()));
    const unknown = document.getElementById("look-run");
    if (unknown && location.protocol === "file:") {
      unknown.hidden = true;
      const folder = decodeURIComponent(location.pathname).replace(/\/[^/]*$/, "").replace(/^\/(?=[A-Za-z]:)/, "");
      fill(".run", quoted(folder || "/"));
    }
    wanted.parentElement.hidden = false;
    wanted.addEventListener("input", show);
    document.addEventListener("click", (event) => {
      const link = event.target.closest("a.look");
      if (link) { wanted.value = link.textContent; show(); }
    });
    for (const button of document.querySelectorAll(".ask .copy")) {
      button.hidden = false;
      button.addEventListener("click", async () => {
        const command = button.parentElement.querySelector("code");
        getSelection().selectAllChildren(command);  // where the clipboard is closed to a page, it can still be taken
        try { await navigator.clipboard.writeText(command.textContent); } catch { return; }
        const [before, after] = button.children;
        before.hidden = true; after.hidden = false;
        setTimeout(() => { before.hidden = false; after.hidden = true; }, 2000);
      });
    }
  }

  // What a link leads to is opened, though a search had hidden it, and everything is for printing.
  const reveal = () => {
    const place = location.hash && document.getElementById(decodeURIComponent(location.hash.slice(1)));
    if (!place) return;
    if (place.closest("[hidden]") && field) { field.value = ""; field.dispatchEvent(new Event("input")); }
    const first = place.matches("h3[id]") ? place.nextElementSibling : place.closest("details");
    if (first && first.matches("details")) first.open = true;
    place.scrollIntoView();
  };
  addEventListener("hashchange", reveal);
  reveal();
  addEventListener("beforeprint", () => { for (const one of document.querySelectorAll("details")) one.open = true; });
}
