"use strict";
// Parts of a page that change are fetched again; what a visitor has opened or typed elsewhere stays.
const seen = new Map([...document.querySelectorAll("[data-live]")].map(part => [part.id, part.innerHTML]));
async function refresh() {
  const answer = await fetch(location.href).catch(() => null);
  document.getElementById("lost").hidden = Boolean(answer);
  if (!answer) return;
  if (answer.redirected && answer.ok) { location.href = answer.url; return; }
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  if (!answer.ok) {
    const main = page.querySelector("main");
    if (main && answer.status === 404) { document.querySelector("main").replaceWith(main); seen.clear(); }
    return;
  }
  for (const id of seen.keys()) {
    const [old, fresh] = [document.getElementById(id), page.getElementById(id)];
    if (!old || !fresh || seen.get(id) === fresh.innerHTML) continue;
    seen.set(id, fresh.innerHTML);
    old.replaceWith(fresh);
    toEnd();
  }
}
function toEnd() { for (const log of document.querySelectorAll(".log")) log.scrollTop = log.scrollHeight; }
toEnd();
async function always() { if (seen.size && !document.hidden) await refresh(); setTimeout(always, 2000); }
// An error is the answer to a form: its address has no page that could be fetched.
if (seen.size && !/\/(stop|stop_at_once|resume|export|delete)$/.test(location.pathname)) setTimeout(always, 2000);

const form = document.getElementById("new");
if (form) {
  const file = form.elements.file, preview = document.getElementById("preview");
  const fit = kind => {
    for (const set of form.querySelectorAll("fieldset[data-fits]")) {
      set.hidden = set.dataset.fits !== kind;
      if (set.hidden || set.querySelector(":checked")) continue;
      const first = set.querySelector("[data-default]") || set.querySelector("input");
      if (first) first.checked = true;
    }
  };
  const kindOf = name => form.dataset.photos.split(",").some(end => name.toLowerCase().endsWith(end)) ? "photo" : "mesh";
  const update = () => {
    const kept = form.elements.kept, without = form.elements.drop_file && form.elements.drop_file.checked;
    const chosen = file.files[0], name = chosen ? chosen.name : kept && !without ? kept.value : "";
    preview.hidden = !chosen || kindOf(chosen.name) !== "photo";
    if (!preview.hidden) preview.src = URL.createObjectURL(chosen);
    fit(name ? kindOf(name) : "words");
  };
  // A file that no recipe reads, or that is too large, is refused at once; the words stay until the next file.
  const judge = () => {
    const chosen = file.files[0], large = Boolean(chosen) && chosen.size > 1e6 * Number(form.dataset.mostMb);
    const strange = Boolean(chosen) && !file.accept.split(",").some(end => chosen.name.toLowerCase().endsWith(end));
    document.getElementById("too-large").hidden = !large || strange;
    document.getElementById("wrong-type").hidden = !strange;
    document.getElementById("wrong-name").textContent = chosen ? chosen.name : "";
    if (large || strange) file.value = "";
  };
  form.addEventListener("change", event => { if (event.target === file) judge(); update(); });
  form.addEventListener("submit", () => { document.getElementById("wait").hidden = false; });
  addEventListener("dragover", event => event.preventDefault());
  addEventListener("drop", event => {
    event.preventDefault();
    if (!event.dataTransfer.files.length) return;
    file.files = event.dataTransfer.files;
    judge();
    update();
  });
  update();
}
