"use strict";
// A link that is opened brings its token behind "#", which no server is told: it is put into the form
// and taken out of the address. Another link opened on this very page does not load it anew.
function take() {
  const token = location.hash.slice(1);
  if (!token) return;
  document.getElementById("link").value = token;
  history.replaceState(null, "", location.pathname);
}

addEventListener("hashchange", take);
take();
