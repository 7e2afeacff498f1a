"use strict";
// A link that is opened brings its token behind "#", which no server is told: it is put into the form
// and taken out of the address.
const token = location.hash.slice(1);
if (token) {
  document.getElementById("link").value = token;
  history.replaceState(null, "", location.pathname);
}
