"use strict";
// Passkeys: before its form is sent, a button asks the person's device for what the form lacks. What
// the device shall sign comes from the post; what it signed goes into the form. Without this script,
// or in a browser that knows no passkeys, the passphrase does it.
const creation = "passkey_add";

async function answered(form, what) {
  const fields = new URLSearchParams(new FormData(form));
  for (const each of form.querySelectorAll("input[type=password]")) fields.delete(each.name);
  fields.set("what", what);
  const where = what === "sign_in" ? "/sign-in/passkey" : "/passkey";
  const answer = await fetch(where, { method: "POST", body: fields, redirect: "error" });
  const options = await answer.json();
  if (!answer.ok) throw new Error(options.said);
  const device = navigator.credentials;
  const made = what === creation
    ? await device.create({ publicKey: PublicKeyCredential.parseCreationOptionsFromJSON(options) })
    : await device.get({ publicKey: PublicKeyCredential.parseRequestOptionsFromJSON(options) });
  return JSON.stringify(made);
}

async function press(button) {
  const { form } = button;
  const told = form.querySelector("[data-failed]");
  button.disabled = true;
  told.textContent = told.dataset.waiting;
  try {
    for (const what of button.dataset.passkey.split(" ")) {
      form.elements[what === creation ? "made" : "answer"].value = await answered(form, what);
    }
    form.submit();
  } catch (error) {
    // What browsers say of a device is in their own tongue and seldom plain.
    const ours = error instanceof Error && error.constructor === Error;
    told.textContent = ours ? error.message : told.dataset.failed;
    button.disabled = false;
  }
}

if (window.PublicKeyCredential && PublicKeyCredential.parseRequestOptionsFromJSON) {
  for (const button of document.querySelectorAll("button[data-passkey]")) {
    button.hidden = false;
    button.addEventListener("click", () => press(button));
  }
}
