// What the console does beyond plain pages: times in the viewer's zone, countdowns, "select all", and no refresh of a
// part of the page that somebody is working with.
"use strict";
(() => {
  // of a bar that is wider than the window, what is shown comes into view
  document.querySelectorAll("nav [aria-current]").forEach((link) => link.scrollIntoView({ block: "nearest", inline: "nearest" }));

  const exact = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });
  const today = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit" });
  const full = new Intl.DateTimeFormat(undefined, { dateStyle: "full", timeStyle: "long" });

  const span = (seconds) => {
    const s = Math.max(0, Math.round(seconds));
    if (s < 120) return `${s} s`;
    if (s < 7200) return `${Math.floor(s / 60)} min`;
    if (s < 172800) return `${Math.floor(s / 3600)} h`;
    return `${Math.floor(s / 86400)} days`;
  };
  const show = (time) => {
    const at = new Date(time.dateTime);
    const away = (at - Date.now()) / 1000;
    const mode = time.dataset.mode;
    if (mode === "countdown") time.textContent = away > 0 ? `in ${span(away)}` : "now";
    else if (mode === "ago") time.textContent = `${span(-away)} ago`;
    else time.textContent = (at.toDateString() === new Date().toDateString() ? today : exact).format(at);
    time.title = `${full.format(at)} (${time.dateTime})`;
  };
  const showAll = (mode) => document.querySelectorAll(mode ? "time[data-mode=countdown], time[data-mode=ago]" : "time").forEach(show);

  const unfolded = new Map(); // what somebody has unfolded or folded, by the id of its summary: it stays so when the part is refreshed

  document.addEventListener("DOMContentLoaded", () => showAll(false));
  document.addEventListener("htmx:afterSettle", () => {
    showAll(false);
    unfolded.forEach((open, id) => { const summary = document.getElementById(id); if (summary) summary.parentElement.open = open; });
  });
  setInterval(() => showAll(true), 1000);

  document.addEventListener("change", (event) => {
    if (!event.target.matches("input[data-all]")) return;
    event.target.closest("form").querySelectorAll("input[name=id]").forEach((box) => { box.checked = event.target.checked; });
  });
  document.addEventListener("click", (event) => {
    const summary = event.target.closest("summary");
    if (summary) unfolded.set(summary.id, !summary.parentElement.open);
  });
  document.addEventListener("htmx:beforeRequest", (event) => {
    const part = event.target, focused = document.activeElement;
    const busy = part.querySelector("input:checked") || (part.contains(focused) && focused !== part && !focused.matches("summary"));
    if (busy || document.hidden) event.preventDefault();
  });
})();
