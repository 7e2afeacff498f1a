"use strict";
// The board, alive: tiles come over one event stream; silence makes the board visibly stale; FLASH
// sounds until a person silences it, each by itself. Without this script the page loads itself anew.
const policy = trustedTypes.createPolicy("openline", { createHTML: (html) => html });
const fresh = document.getElementById("fresh");
const sound = document.getElementById("sound");
const STALE_MS = 10_000;
const silenced = new Set(JSON.parse(sessionStorage.getItem("silenced") || "[]"));
let audio = null;
let beat = 0;
let heard = 0;

function waiting() {
  const found = document.querySelectorAll("[data-flash]");
  return [...found].map((each) => each.dataset.flash).filter((serial) => !silenced.has(serial));
}

function ring() {
  if (!audio || audio.state !== "running") return;
  for (const [at, pitch] of [[0, 880], [0.18, 660], [0.36, 880]]) {
    const tone = audio.createOscillator();
    const loudness = audio.createGain();
    tone.frequency.value = pitch;
    loudness.gain.value = 0.3;
    tone.connect(loudness).connect(audio.destination);
    tone.start(audio.currentTime + at);
    tone.stop(audio.currentTime + at + 0.15);
  }
}

function alarm() {
  const serials = waiting();
  document.body.classList.toggle("sounding", serials.length > 0);
  clearInterval(beat);
  if (serials.length > 0) {
    ring();
    beat = setInterval(ring, 2_000);
  }
  const armed = audio && audio.state === "running";
  sound.hidden = false;
  sound.classList.toggle("armed", Boolean(armed));
  if (armed) sound.textContent = serials.length > 0 ? sound.dataset.silence : sound.dataset.armed;
}

sound.addEventListener("click", async () => {
  if (audio && audio.state === "running") {
    waiting().forEach((serial) => silenced.add(serial));
    sessionStorage.setItem("silenced", JSON.stringify([...silenced]));
  } else {
    audio = audio || new AudioContext();
    await audio.resume();
  }
  alarm();
});

function show(live) {
  document.body.classList.toggle("stale", !live);
  fresh.textContent = live ? fresh.dataset.live : fresh.dataset.stale;
}

function put(html) {
  const old = document.getElementById("tiles");
  const before = waiting().join();
  const focused = document.activeElement && document.activeElement.getAttribute("href");
  old.outerHTML = policy.createHTML(html);
  if (focused) {
    const again = document.querySelector(`#tiles a[href="${CSS.escape(focused)}"]`);
    if (again) again.focus();
  }
  if (waiting().join() !== before) alarm();
}

function listen() {
  const stream = new EventSource("/live");
  stream.addEventListener("tiles", (event) => {
    heard = performance.now();
    show(true);
    const said = JSON.parse(event.data);
    document.getElementById("clock").innerHTML = policy.createHTML(said.clock);
    put(said.html);
  });
  stream.addEventListener("error", () => {
    show(false);
    if (stream.readyState === EventSource.CLOSED) setTimeout(listen, 3_000);
  });
}

setInterval(() => {
  if (heard && performance.now() - heard > STALE_MS) show(false);
}, 1_000);
alarm();
listen();
