// Keeps the page up to date, and copies the command. Everything else works without it.

const EVERY = 3000; // milliseconds between two looks; nearly all are answered by a 304, from memory
const SAID_FOR = 10000;
const said = document.getElementById("said");
let lost = false;
let silence;

const page = () => document.getElementById("page");
const height = (element) => element.getBoundingClientRect().top;

function say(text) {
  said.textContent = text;
  clearTimeout(silence);
  if (text && !lost) silence = setTimeout(say, SAID_FOR, "");
}

/** What somebody has typed or chosen, and not sent yet. */
function typed() {
  return [...page().querySelectorAll("input, option")].filter((field) => {
    if (field.matches("option")) return field.selected !== field.defaultSelected;
    if (field.type === "radio") return field.checked !== field.defaultChecked;
    return field.value !== field.defaultValue;
  });
}

function retype(field) {
  const other = twin(field);
  if (!other) return;
  if (field.matches("option")) other.selected = field.selected;
  else if (field.type === "radio") other.checked = field.checked;
  else other.value = field.value;
}

/** The element of the page as it is now that stands for one of the page as it was. */
function twin(element) {
  if (element.id) return document.getElementById(element.id);
  const list = element.closest("select");
  if (list) return document.querySelector(`#${list.id} option[value="${CSS.escape(element.value)}"]`);
  return document.querySelector(`a[href="${CSS.escape(element.getAttribute("href") ?? "")}"]`);
}

/** Replaces what is shown, but for what somebody is doing with it: fields, focus, and the place on the screen. */
function put(fresh) {
  const fields = typed();
  const open = page().querySelectorAll("details[open][id]");
  const focused = page().contains(document.activeElement) ? document.activeElement : null;
  const selection = focused?.type === "text" ? [focused.selectionStart, focused.selectionEnd] : null;
  const onScreen = (element) => element && height(element) >= 0 && height(element) < innerHeight;
  const mark = [focused, ...page().querySelectorAll("[id]")].find(onScreen);
  const place = mark && height(mark);
  const run = page().dataset.run;

  page().replaceWith(fresh);

  fields.forEach(retype);
  for (const { id } of open) document.getElementById(id)?.setAttribute("open", "");
  const other = focused && twin(focused);
  other?.focus({ preventScroll: true });
  if (other && selection) other.setSelectionRange(...selection);
  const same = mark && twin(mark);
  if (same) scrollBy(0, height(same) - place);
  offerCopies();
  const change = page().dataset.run === run ? "This page was updated." : "A new run was published. This page shows it now.";
  say(page().querySelector(".banner:not(.sample) strong")?.textContent ?? change);
}

async function look() {
  const asked = { headers: { "If-None-Match": `W/"${page().dataset.state}"` } };
  const answer = await fetch(location.href, asked).catch(() => null);
  const text = answer?.status === 200 ? await answer.text().catch(() => null) : "";
  if (!answer || text === null) {
    if (lost) return;
    lost = true;
    say("No connection to the service. What is shown here is from before.");
    return;
  }
  if (lost) {
    lost = false;
    say("");
  }
  const fresh = text && new DOMParser().parseFromString(text, "text/html");
  const found = fresh && fresh.getElementById("page");
  if (!found) return;
  document.title = fresh.title;
  put(found);
}

/** Browsers give the clipboard to pages of this machine or of https alone. */
function offerCopies() {
  for (const button of page().querySelectorAll("[data-copy]")) button.hidden = !navigator.clipboard;
}

document.addEventListener("click", async ({ target }) => {
  const id = target.dataset?.copy;
  if (!id) return;
  await navigator.clipboard.writeText(document.getElementById(id).textContent);
  target.textContent = "Copied";
});

async function follow() {
  try {
    if (!document.hidden) await look();
  } finally {
    setTimeout(follow, EVERY);
  }
}

offerCopies();
setTimeout(follow, EVERY);
