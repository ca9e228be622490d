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
    const local = `${date} ${pad(when.getHours())}:${pad(when.getMinutes())}:${pad(when.getSeconds())}`;
    const utc = time.dateTime.slice(0, 19).replace("T", " ");
    time.title = `${local} ${offset} (${utc} UTC)`;
    if (!time.classList.contains("ago")) time.textContent = local;
  }
}

document.addEventListener("htmx:load", (event) => {
  localize(event.detail.elt);
  event.detail.elt.querySelector("[data-focus]")?.focus();
});

// A link whose answer goes into the dialog opens it.
document.addEventListener("htmx:afterSwap", (event) => {
  if (event.detail.target.id === "dialog" && !event.detail.target.open) event.detail.target.showModal();
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

// Live parts rest while nobody looks, and after three failures until somebody asks again.
let failures = 0;
const isLive = (event) => event.detail.elt.matches?.("[data-live]");
const look = () => document.body.dispatchEvent(new Event("tab:visible"));

document.addEventListener("visibilitychange", () => document.hidden || look());
document.addEventListener("htmx:beforeRequest", (event) => {
  if (isLive(event) && (document.hidden || failures >= 3)) event.preventDefault();
});

function count(failed) {
  failures = failed ? failures + 1 : 0;
  const banner = byId("paused");
  if (banner) banner.hidden = failures < 3;
}

document.addEventListener("click", (event) => {
  if (!event.target.closest("[data-retry]")) return;
  count(false);
  look();
});

function tell(words) {
  const toast = document.createElement("p");
  toast.className = "toast error";
  toast.textContent = words;
  byId("toasts")?.replaceChildren(toast);
}

for (const name of ["htmx:responseError", "htmx:sendError", "htmx:timeout"]) {
  document.addEventListener(name, (event) => {
    if (isLive(event)) count(true);
    else tell(`Not done: ${event.detail.xhr.status ? `the console answered ${event.detail.xhr.status}` : "the console cannot be reached"}. Reload the page and try again.`);
  });
}

// A session that has ended answers with the sign-in page: go there, and come back here.
document.addEventListener("htmx:beforeSwap", (event) => {
  if (isLive(event) && event.detail.xhr.status < 400) count(false);
  const answer = event.detail.xhr.responseURL && new URL(event.detail.xhr.responseURL);
  if (answer && answer.pathname === "/login/") {
    event.detail.shouldSwap = false;
    location.assign(`/login/?next=${encodeURIComponent(location.pathname + location.search)}`);
  }
});
