"use strict";
// "?" leads to the page of keys, unless somebody writes, or has switched that off on the page itself
// (a key without Ctrl or Alt must be possible to switch off). All else are access keys of the pages.
{
  const OFF = "keys-off";
  const button = document.getElementById("single");
  const say = () => {
    button.hidden = false;
    button.textContent = localStorage.getItem(OFF) ? button.dataset.on : button.dataset.off;
  };
  if (button) {
    say();
    button.addEventListener("click", () => {
      if (localStorage.getItem(OFF)) localStorage.removeItem(OFF);
      else localStorage.setItem(OFF, "1");
      say();
    });
  }
  document.addEventListener("keydown", (event) => {
    if (event.key !== "?" || event.ctrlKey || event.altKey || event.metaKey) return;
    if (event.target.closest("input, textarea, select") || localStorage.getItem(OFF)) return;
    location.assign("/keys");
  });
}
