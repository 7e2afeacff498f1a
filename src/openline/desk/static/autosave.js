"use strict";
// What is being written is kept whenever the writer pauses: the post keeps it as a revision, which the
// next one replaces until somebody has seen it. Nothing on the page is ever changed by this but the
// line that says what was kept.
const form = document.querySelector("form[data-autosave]");
const told = form.querySelector("[data-failed]");
const PAUSE_MS = 1_500;
const AGAIN_MS = 5_000;
let timer = 0;
let changed = false;
let underway = false;
let sending = false;

function later(ms) {
  clearTimeout(timer);
  timer = setTimeout(keep, ms);
}

function say(words, wrong) {
  told.textContent = words;
  told.classList.toggle("problem", wrong);
}

async function keep() {
  if (underway || !changed || sending) return;
  underway = true;
  changed = false;
  try {
    const body = new URLSearchParams(new FormData(form));
    const answer = await fetch(form.dataset.autosave, { method: "POST", body, redirect: "error" });
    const kept = await answer.json();
    if (kept.draft) {
      form.elements.revision.value = kept.revision;
      form.dataset.autosave = `/draft/${kept.draft}/autosave`;
      // Not form.action: that is the field of this name.
      form.setAttribute("action", `/draft/${kept.draft}/edit`);
    }
    say(kept.said, !kept.draft);
  } catch {
    say(told.dataset.failed, true);
    changed = true;
  }
  underway = false;
  if (sending) form.submit();
  else if (changed) later(AGAIN_MS);
}

form.addEventListener("input", () => {
  changed = true;
  later(PAUSE_MS);
});
document.addEventListener("visibilitychange", () => {
  if (document.hidden) keep();
});
form.addEventListener("submit", (event) => {
  // One that is on its way is waited for: what is sent after it names the revision it made.
  sending = true;
  if (underway) event.preventDefault();
});
