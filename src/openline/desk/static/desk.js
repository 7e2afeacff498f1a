"use strict";
// The board, alive: tiles come over one event stream; silence makes the board visibly stale; FLASH
// sounds until a person silences it, each by itself. Without this script the page loads itself anew.
// A browser has six connections for all its tabs, so those of one person in one language share the
// stream: whoever has the lock listens and hands on what it hears; when it closes, the next listens.
const policy = trustedTypes.createPolicy("openline", { createHTML: (html) => html });
const fresh = document.getElementById("fresh");
const sound = document.getElementById("sound");
const STALE_MS = 10_000;
const AGAIN_MS = 3_000;
const ASKED = "?";
// Where pages share: a browser has locks only where the way to the desk is safe.
const others = navigator.locks ? new BroadcastChannel(fresh.dataset.stream) : null;
const silenced = new Set(JSON.parse(sessionStorage.getItem("silenced") || "[]"));
let audio = null;
let beat = 0;
let heard = performance.now();
let latest = "";
let stream = null;
let leads = false;

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

function hear(board) {
  if (!board) return show(false);
  heard = performance.now();
  show(true);
  const said = JSON.parse(board);
  document.getElementById("clock").innerHTML = policy.createHTML(said.clock);
  put(said.html);
}

function tell(board) {
  latest = board;
  hear(board);
  if (others) others.postMessage(board);
}

function connect(take, refused) {
  hangUp();
  const made = new EventSource("/live");
  made.addEventListener("tiles", (event) => take(event.data));
  made.addEventListener("error", () => {
    take("");
    // When only the wire fails, the browser itself tries again.
    if (made.readyState === EventSource.CLOSED) refused();
  });
  stream = made;
}

function hangUp() {
  if (stream) stream.close();
  stream = null;
}

function lead() {
  leads = true;
  return new Promise((ended) => connect(tell, ended));
}

async function watch() {
  await (others ? navigator.locks.request(fresh.dataset.stream, lead) : lead());
  leads = false;
  hangUp();
  setTimeout(watch, AGAIN_MS);
}

if (others) {
  others.addEventListener("message", ({ data }) => {
    if (data === ASKED) return latest && others.postMessage(latest);
    if (data && !leads) hangUp();
    hear(data);
  });
  others.postMessage(ASKED);
}
setInterval(() => {
  if (performance.now() - heard <= STALE_MS) return;
  show(false);
  // Who has the lock may have been put to sleep: a page that somebody sees listens for itself then,
  // until it hears of the other again.
  if (!leads && !stream && !document.hidden) connect(hear, hangUp);
}, 1_000);
alarm();
watch();
