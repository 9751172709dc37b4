// Keeps the page up to date, and copies the command. Everything else works without it.

const POLL_MS = 3000; // nearly all responses are a 304, from memory
const MESSAGE_MS = 10000;
const message = document.getElementById("message");
let disconnected = false;
let timeout;

const page = () => document.getElementById("page");
const top = (element) => element.getBoundingClientRect().top;

function show(text) {
  message.textContent = text;
  clearTimeout(timeout);
  if (text && !disconnected) timeout = setTimeout(show, MESSAGE_MS, "");
}

const checkable = (field) => field.type === "radio" || field.type === "checkbox";

/** Returns the fields that the user has changed but not submitted. */
function changedFields() {
  return [...page().querySelectorAll("input, option")].filter((field) => {
    if (field.matches("option")) return field.selected !== field.defaultSelected;
    if (checkable(field)) return field.checked !== field.defaultChecked;
    return field.value !== field.defaultValue;
  });
}

function restore(field) {
  const other = counterpart(field);
  if (!other) return;
  if (field.matches("option")) other.selected = field.selected;
  else if (checkable(field)) other.checked = field.checked;
  else if (field.type === "file") other.files = field.files;
  else other.value = field.value;
}

/** Returns the element of the new page that corresponds to an element of the old page. */
function counterpart(element) {
  if (element.id) return document.getElementById(element.id);
  const list = element.closest("select");
  if (list) return document.querySelector(`#${list.id} option[value="${CSS.escape(element.value)}"]`);
  return document.querySelector(`a[href="${CSS.escape(element.getAttribute("href") ?? "")}"]`);
}

/** Replaces the page, but keeps the user's input, focus and scroll position. */
function replace(fresh) {
  const fields = changedFields();
  const open = page().querySelectorAll("details[open][id]");
  const focused = page().contains(document.activeElement) ? document.activeElement : null;
  const selection = focused?.type === "text" ? [focused.selectionStart, focused.selectionEnd] : null;
  const onScreen = (element) => element && top(element) >= 0 && top(element) < innerHeight;
  const anchor = [focused, ...page().querySelectorAll("[id]")].find(onScreen);
  const position = anchor && top(anchor);
  const run = page().dataset.run;

  page().replaceWith(fresh);

  fields.forEach(restore);
  for (const { id } of open) document.getElementById(id)?.setAttribute("open", "");
  const other = focused && counterpart(focused);
  other?.focus({ preventScroll: true });
  if (other && selection) other.setSelectionRange(...selection);
  const newAnchor = anchor && counterpart(anchor);
  if (newAnchor) scrollBy(0, top(newAnchor) - position);
  showCopyButtons();
  const change = page().dataset.run === run ? "This page was updated." : "Another run is published now. This page shows it.";
  show(page().querySelector(".banner:not(.sample) strong")?.textContent ?? change);
}

async function refresh() {
  const options = { headers: { "If-None-Match": `W/"${page().dataset.state}"` } };
  const response = await fetch(location.href, options).catch(() => null);
  const text = response?.status === 200 ? await response.text().catch(() => null) : "";
  if (!response || text === null) {
    if (disconnected) return;
    disconnected = true;
    show("No connection to the service. This page may be out of date.");
    return;
  }
  if (disconnected) {
    disconnected = false;
    show("");
  }
  const fresh = text && new DOMParser().parseFromString(text, "text/html");
  const found = fresh && fresh.getElementById("page");
  if (!found) return;
  document.title = fresh.title;
  replace(found);
}

/** Shows the copy buttons, unless the browser has no clipboard: it needs HTTPS or localhost. */
function showCopyButtons() {
  for (const button of page().querySelectorAll("[data-copy]")) button.hidden = !navigator.clipboard;
}

document.addEventListener("click", async ({ target }) => {
  const id = target.dataset?.copy;
  if (!id) return;
  await navigator.clipboard.writeText(document.getElementById(id).textContent);
  target.textContent = "Copied";
});

async function poll() {
  try {
    if (!document.hidden) await refresh();
  } finally {
    setTimeout(poll, POLL_MS);
  }
}

showCopyButtons();
setTimeout(poll, POLL_MS);
