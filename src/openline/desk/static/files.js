"use strict";
// How far files are, alive: as long as one is on its way, its part of the page comes anew. It is asked
// for and not streamed, since a browser has six connections for all its tabs, and a stream holds one.
// Without this script the page shows it when it is loaded.
const policy = trustedTypes.createPolicy("openline", { createHTML: (html) => html });
const PAUSE_MS = 1_000;

setTimeout(async function renew() {
  const files = document.getElementById("files");
  if (!files.querySelector("progress")) return;
  try {
    const answer = await fetch(files.dataset.place, { redirect: "error" });
    if (answer.ok) files.outerHTML = policy.createHTML(await answer.text());
  } catch {
    // The next time tries again.
  }
  setTimeout(renew, PAUSE_MS);
}, PAUSE_MS);
