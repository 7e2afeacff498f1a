"use strict";
// How far files are, alive: whenever something has happened at the post and a file is still on its
// way, its part of the page comes anew. Without this script the page shows it when it is loaded.
const policy = trustedTypes.createPolicy("openline", { createHTML: (html) => html });
const PAUSE_MS = 500;
let asking = false;

async function renew() {
  const files = document.getElementById("files");
  if (asking || !files.querySelector("progress")) return;
  asking = true;
  try {
    const answer = await fetch(files.dataset.place, { redirect: "error" });
    if (answer.ok) files.outerHTML = policy.createHTML(await answer.text());
  } catch {
    // The next event tries again.
  }
  setTimeout(() => { asking = false; }, PAUSE_MS);
}

if (document.querySelector("#files progress")) {
  new EventSource("/live").addEventListener("tiles", renew);
}
