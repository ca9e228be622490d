// What the pages cannot say in HTML. Everything works without it; it makes pages live and comfortable.
"use strict";

const byId = (id) => document.getElementById(id);
const pad = (number) => String(Math.abs(number)).padStart(2, "0");

// Times come in UTC; the reader gets their own zone, and both in the title.
function localize(root) {
  for (const time of root.querySelectorAll("time[datetime]")) {
    const when = new Date(time.dateTime);
    const minutes = -when.getTimezoneOffset();
    const offset = `UTC${minutes < 0 ? "-" : "+"}${pad(Math.trunc(minutes / 60))}:${pad(minutes % 60)}`;
    const date = `${when.getFullYear()}-${pad(when.getMonth() + 1)}-${pad(when.getDate())}`;
    const clock = `${pad(when.getHours())}:${pad(when.getMinutes())}:${pad(when.getSeconds())}`;
    const utc = time.dateTime.slice(0, 19).replace("T", " ");
    time.title = `${date} ${clock} ${offset} (${utc} UTC)`;
    if (time.classList.contains("ago")) continue;
    [time.firstElementChild.textContent, time.lastElementChild.textContent] = [date, clock];
  }
}

// The time that a task has spent so far goes on between two polls.
function duration(seconds) {
  const minutes = Math.trunc(seconds / 60);
  if (minutes >= 60) return `${Math.trunc(minutes / 60)} h ${pad(minutes % 60)} min`;
  return minutes ? `${minutes} min ${pad(seconds % 60)} s` : `${seconds} s`;
}

setInterval(() => {
  for (const spent of document.querySelectorAll("[data-seconds]")) {
    spent.began ??= performance.now() - 1000 * spent.dataset.seconds;
    spent.textContent = duration(Math.trunc((performance.now() - spent.began) / 1000));
  }
}, 1000);

// Filters that are not set stay out of the address; the way back sets them as they were.
document.addEventListener("htmx:configRequest", (event) => {
  const { elt, formData } = event.detail;
  if (!elt.matches(".toolbar")) return;
  for (const [name, value] of [...formData]) if (!value) formData.delete(name);
});
document.addEventListener("htmx:historyRestore", () => {
  const query = new URLSearchParams(location.search);
  for (const field of document.querySelectorAll(".toolbar [name]")) field.value = query.get(field.name) ?? "";
});

// The instances are links; with this script they are a list box, with a field to filter it when it is long.
const options = (list) => [...list.querySelectorAll("li:not([hidden]) a")];

document.addEventListener("toggle", ({ target }) => {
  if (!target.matches?.(".switcher[open]")) return;
  Object.assign(target.querySelector("ul"), { role: "listbox", ariaLabel: "Instances" });
  for (const link of options(target)) {
    link.parentElement.role = "none";
    Object.assign(link, { role: "option", tabIndex: -1, ariaSelected: String(link.hasAttribute("aria-current")) });
  }
  const field = target.querySelector("[data-filter]");
  if (field) field.hidden = false;
  (field ?? target.querySelector("li a[aria-current]") ?? options(target)[0]).focus();
}, true);

document.addEventListener("input", ({ target }) => {
  if (!target.matches("[data-filter]")) return;
  const wanted = target.value.trim().toLowerCase();
  for (const choice of target.parentElement.querySelectorAll("li")) {
    choice.hidden = !choice.textContent.toLowerCase().includes(wanted);
  }
  const count = options(target.parentElement).length;
  byId("announcer").textContent = `${count} instance${count === 1 ? "" : "s"}`;
  target.parentElement.querySelector("[data-none]").hidden = count > 0;
});

document.addEventListener("htmx:load", (event) => {
  localize(event.detail.elt);
  event.detail.elt.querySelector("[data-focus]")?.focus();
});

// Who leaves a form with changes is asked once, in the browser's own words.
let unsaved = false;
for (const name of ["input", "change"]) {
  document.addEventListener(name, (event) => { if (event.target.closest?.("form.form")) unsaved = true; });
}
for (const name of ["submit", "htmx:beforeRequest"]) {
  document.addEventListener(name, (event) => { if (event.target.matches?.("form.form")) unsaved = false; });
}
// A refused form comes back with what was typed, which is saved nowhere yet.
document.addEventListener("htmx:afterSettle", () => { if (document.querySelector("form.form .error")) unsaved = true; });
addEventListener("beforeunload", (event) => { if (unsaved) event.preventDefault(); });

// A password that was typed stays when its form comes back refused; it is marked as the other fields are.
document.addEventListener("htmx:afterSettle", () => {
  for (const field of document.querySelectorAll("form.form [hx-preserve]")) {
    const told = ["helptext", "error"].map((what) => byId(`${field.id}_${what}`)?.id);
    Object.assign(field, { ariaInvalid: told[1] && "true" }).setAttribute("aria-describedby", told.join(" ").trim());
  }
});

// What was typed when the session ended is there again after signing in; passwords are kept nowhere.
const keptAs = `typed:${location.pathname}`;
const isKept = ({ name, type }) => name && !["password", "hidden", "file", "submit"].includes(type);
const fields = () => [...(document.querySelector("#rule-form, #instance-form")?.elements ?? [])].filter(isKept);

function keepTyped() {
  const typed = fields().map(({ name, value, checked }) => [name, value, checked]);
  if (typed.length) sessionStorage.setItem(keptAs, JSON.stringify(typed));
  unsaved = false;
}

document.addEventListener("DOMContentLoaded", () => {
  const typed = JSON.parse(sessionStorage.getItem(keptAs) ?? "[]");
  sessionStorage.removeItem(keptAs);
  for (const [name, value, checked] of typed) {
    const field = fields().find((one) => one.name === name) ?? {};
    Object.assign(field, field.type === "checkbox" ? { checked } : { value });
    unsaved = true;
  }
});

// A second click sends nothing again.
document.addEventListener("submit", (event) => {
  const { target } = event;
  if (event.defaultPrevented || target.method !== "post") return;
  if ("sent" in target.dataset) event.preventDefault();
  target.dataset.sent = "";
  setTimeout(() => delete target.dataset.sent, 3000);
});

// A link whose answer goes into the dialog opens it. (What the way back restores has no target.)
document.addEventListener("htmx:afterSwap", (event) => {
  const { target } = event.detail;
  if (target?.id !== "dialog" || target.open) return;
  const opener = document.activeElement;
  target.showModal();
  // The opener may have been exchanged by a poll, be in a menu that closed, or be gone with its row.
  target.addEventListener("close", () => {
    if (document.activeElement.matches("main tbody th a") && document.activeElement !== opener) return; // by a key since
    const [now, heading] = [opener.isConnected ? opener : byId(opener.id), document.querySelector("main h1")];
    heading.tabIndex = -1;
    [now, now?.closest("details")?.querySelector("summary"), heading].find((place) => place?.checkVisibility()).focus();
  }, { once: true });
});

document.addEventListener("click", (event) => {
  const dialog = byId("dialog");
  if (dialog?.open && event.target.closest("[data-close]")) {
    event.preventDefault();
    dialog.close();
  }
  for (const popover of document.querySelectorAll("details[data-popover][open]")) {
    if (!popover.contains(event.target)) popover.open = false;
  }
});

document.addEventListener("keydown", (event) => {
  const popover = event.key === "Escape" && document.querySelector("details[data-popover][open]");
  if (popover) {
    popover.open = false;
    popover.querySelector("summary").focus();
  }
});
document.addEventListener("focusout", (event) => {
  const popover = event.relatedTarget && event.target.closest("details[data-popover][open]");
  if (popover && !popover.contains(event.relatedTarget)) popover.open = false;
});

// Arrows in what has opened. The field of the switcher stands above its first choice.
document.addEventListener("keydown", (event) => {
  const popover = event.target.closest("details[data-popover][open]");
  if (!popover || event.ctrlKey || event.metaKey || event.altKey) return;
  const stops = [...popover.querySelectorAll("[data-filter]"), ...options(popover)];
  const at = stops.indexOf(document.activeElement);
  const [first, last] = event.target.matches("input") ? [] : [stops.findIndex((stop) => stop.matches("a")), stops.length - 1];
  const next = { ArrowDown: Math.min(at + 1, stops.length - 1), ArrowUp: Math.max(at - 1, 0), Home: first, End: last }[event.key];
  if (next !== undefined) stops[next]?.focus();
  else if (!popover.matches(".switcher") || !choose(event, options(popover))) return;
  event.preventDefault();
});

// Enter in the field takes the first choice that is left. Letters go to the field, or without one to the names they begin.
let typed = { text: "", at: 0 };
function choose(event, links) {
  const [field, key] = [links[0]?.closest(".choices").querySelector("[data-filter]"), event.key];
  if (event.target === field) return key === "Enter" && (links[0]?.click(), true);
  if (key === " " && event.target.matches("a")) return event.target.click(), true;
  if (key.length > 1 || key === " ") return false;
  if (field) return field.focus(), false;
  const again = event.timeStamp - typed.at < 700;
  typed = { text: (again ? typed.text : "") + key.toLowerCase(), at: event.timeStamp };
  links.find((link) => link.textContent.trim().toLowerCase().startsWith(typed.text))?.focus();
  return true;
}

// Theme and shortcuts change where they are chosen; the next page comes with them.
document.addEventListener("preferences", (event) => {
  const { theme, shortcuts } = event.detail;
  if (theme) document.documentElement.dataset.theme = theme;
  else delete document.documentElement.dataset.theme;
  document.querySelector('meta[name="color-scheme"]').content = theme || "light dark";
  document.body.toggleAttribute("data-shortcuts", shortcuts);
});

// The element that a key stands for: of the page itself before one around it, and one that is shown before others.
function keyed(key) {
  const all = [...document.querySelectorAll("[data-key]")].filter((element) => element.dataset.key === key);
  const shown = all.filter((element) => element.checkVisibility());
  return shown.find((element) => element.closest("main")) ?? shown[0] ?? all.find((element) => element.matches("a"));
}

// The first link of the row, or of the line of the log, after or before the one that has the focus.
function neighbour(step) {
  const [focused, rows] = [document.activeElement, document.activeElement.closest(".log") ? ".log .line a" : "main tbody th a"];
  const links = [...document.querySelectorAll(rows)].filter((link) => link.checkVisibility());
  const at = links.findIndex((link) => focused.closest("tr, .line")?.contains(link));
  return at < 0 ? links.at(step < 0 && focused.closest(".log") ? -1 : 0) : links[at + step];
}

document.addEventListener("keydown", (event) => {
  const busy = event.target.closest("input, select, textarea, [contenteditable], .switcher[open]") || byId("dialog")?.open;
  if (!document.body.hasAttribute("data-shortcuts") || busy || event.ctrlKey || event.metaKey || event.altKey) return;
  const row = { j: 1, k: -1 }[event.key];
  const found = row ? neighbour(row) : keyed(event.key);
  if (!found) return;
  event.preventDefault();
  if (row || found.matches("input")) found.focus();
  else found.click();
});

// Copies what an element holds; the clipboard is there by https and on this machine only.
document.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-copy]");
  if (!button) return;
  const source = byId(button.dataset.copy);
  getSelection().selectAllChildren(source);
  const copied = await navigator.clipboard?.writeText(source.textContent).then(() => true, () => false);
  button.textContent = copied || document.execCommand("copy") ? "Copied" : "Selected";
  byId("announcer").textContent = button.textContent;
});

// A list that looks again keeps its rows, wherever they belong now: those that are as they were stay untouched; of others
// what is told is exchanged. What is open in them, the focus and what is selected stay.
function exchange(old, row) {
  const [notes, told] = [old, row].map((one) => one.querySelector("details") && one.querySelector(".notes"));
  if (!notes || !told) old.replaceChildren(...row.childNodes);
  else {
    notes.replaceChildren(...told.childNodes);
    old.rows[0].replaceWith(row.rows[0]);
  }
}

function arrange(table, rows) {
  let place = table.tBodies[0];
  for (const row of rows) {
    const known = byId(row.id) ?? row;
    if (known !== row && !("kept" in row.dataset)) exchange(known, row);
    if (known === place) place = place.nextElementSibling;
    else if (known !== row || !("kept" in row.dataset)) table.insertBefore(known, place);
  }
  while (place) {
    const gone = place;
    place = place.nextElementSibling;
    gone.remove();
  }
}

htmx.defineExtension("rows", {
  handleSwap(style, target, fragment) {
    const fresh = style === "rows" && fragment.querySelector(`#${target.id}`);
    if (!fresh) return false;
    const [table, next] = [target, fresh].map((part) => part.querySelector("table"));
    if (!table || !next) {
      target.replaceWith(fresh);
      return [fresh];
    }
    const focused = document.activeElement;
    for (const name of target.getAttributeNames()) if (!fresh.hasAttribute(name)) target.removeAttribute(name);
    for (const name of fresh.getAttributeNames()) target.setAttribute(name, fresh.getAttribute(name));
    arrange(table, [...next.tBodies]);
    const frame = [...target.children].find((child) => child.contains(table));
    for (const child of [...target.children]) if (child !== frame) child.remove();
    let passed = false;
    for (const child of [...fresh.children]) {
      if (child.contains(next)) passed = true;
      else if (passed) target.append(child);
      else frame.before(child);
    }
    const again = focused.isConnected ? focused : byId(focused.id);
    if (again !== document.activeElement) again?.focus({ preventScroll: true });
    return [target];
  },
});

// The log shows its end and follows it while that is in view, or until told otherwise. Lines may run on unwrapped.
const log = () => document.querySelector(".log");
const control = (name) => document.querySelector(`[data-log="${name}"]`);
const isOn = (name) => control(name)?.ariaChecked === "true";

function toEnd() {
  if (log() && isOn("follow")) log().scrollTop = log().scrollHeight;
}

document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-log]");
  if (!button) return;
  button.ariaChecked = String(button.ariaChecked !== "true");
  log().classList.toggle("unwrapped", !isOn("wrap"));
  toEnd();
});
document.addEventListener("scroll", ({ target }) => {
  const follow = target === log() && control("follow");
  if (follow) follow.ariaChecked = String(target.scrollHeight - target.scrollTop - target.clientHeight < 8);
}, true);
document.addEventListener("htmx:load", ({ detail: { elt } }) => {
  // Of a repository that has lines already, new ones go there.
  const group = elt.matches(".group") && document.querySelector(`.group[data-group="${CSS.escape(elt.dataset.group)}"]`);
  if (group && group !== elt) {
    const lines = group.querySelector("ol");
    lines.append(...elt.querySelectorAll(".line"));
    group.querySelector(".number").textContent = lines.children.length;
    elt.remove();
  }
  if (elt === document.body && control("follow") && /^#L\d+$/.test(location.hash)) control("follow").ariaChecked = "false";
  toEnd();
});

// Live parts rest while nobody looks (but those that say "always"), while a menu in them is open, and after three failures:
// then they try again at times, and when somebody comes back or asks.
const failures = {};
const isLive = (event) => event.detail.elt.matches?.("[data-live]");
function look() {
  for (const id in failures) failures[id] = Math.min(failures[id], 2);
  document.body.dispatchEvent(new Event("tab:visible"));
}
setInterval(() => document.hidden || (byId("paused")?.hidden ?? true) || look(), 20_000);

document.addEventListener("visibilitychange", () => document.hidden || look());
document.addEventListener("htmx:beforeRequest", (event) => {
  if (!isLive(event)) return;
  const { elt } = event.detail;
  const rests = (document.hidden && elt.dataset.live !== "always") || elt.querySelector("details[data-popover][open]");
  if (rests || failures[elt.id] >= 3) event.preventDefault();
});

function count({ elt }, failed) {
  failures[elt.id] = failed ? (failures[elt.id] ?? 0) + 1 : 0;
  byId("paused")?.toggleAttribute("hidden", Math.max(...Object.values(failures)) < 3);
}
document.addEventListener("click", (event) => event.target.closest("[data-retry]") && look());

function tell(words) {
  const toast = document.createElement("p");
  toast.className = "toast error";
  toast.innerHTML = '<span></span><button class="button quiet" type="button" data-dismiss>Close</button>';
  toast.firstElementChild.textContent = words;
  byId("toasts")?.replaceChildren(toast);
  announce();
}

// What was done is told aloud once, and leaves after some seconds in which nobody is at it; errors and warnings stay until closed.
function announce() {
  const told = [...document.querySelectorAll("#toasts .toast span")].map((words) => words.textContent).join(" ");
  if (told) byId("announcer").textContent = told;
}
document.addEventListener("DOMContentLoaded", announce);
document.addEventListener("htmx:oobAfterSwap", (event) => event.detail.target.id === "toasts" && announce());

setInterval(() => {
  for (const toast of document.querySelectorAll("#toasts .toast:not(.error, .warning)")) {
    const kept = document.hidden || toast.matches(":hover, :focus-within");
    toast.age = kept ? 0 : (toast.age ?? 0) + 1;
    toast.classList.toggle("leaving", toast.age >= 8);
    if (toast.age > 8) toast.remove();
  }
}, 1000);

document.addEventListener("click", (event) => {
  const toast = event.target.closest("[data-dismiss]")?.closest(".toast");
  if (!toast) return;
  toast.remove();
  byId("main").focus({ preventScroll: true });
});

for (const name of ["htmx:responseError", "htmx:sendError", "htmx:timeout"]) {
  document.addEventListener(name, (event) => {
    if (event.detail.elt.matches?.("form.form")) unsaved = true;
    if (isLive(event)) count(event.detail, true);
    else tell(`Not done: ${event.detail.xhr.status ? `the console answered ${event.detail.xhr.status}` : "the console cannot be reached"}. Reload the page and try again.`);
  });
}

// A session that has ended answers with the sign-in page: go there, and come back here.
document.addEventListener("htmx:beforeSwap", (event) => {
  if (isLive(event) && event.detail.xhr.status < 400) count(event.detail, false);
  const answer = event.detail.xhr.responseURL && new URL(event.detail.xhr.responseURL);
  if (answer && answer.pathname === "/login/") {
    event.detail.shouldSwap = false;
    keepTyped();
    location.assign(`/login/?next=${encodeURIComponent(location.pathname + location.search)}`);
  }
});
