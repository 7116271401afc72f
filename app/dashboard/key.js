/** The key of calls: asked for once, and kept for this tab. */

import { h } from "./dom.js";

const PLACE = "stepcast-key";

let asking = null;

/** The key, if one was given. */
export function currentKey() {
  return sessionStorage.getItem(PLACE);
}

/** Ask for a key, once for all calls that need it now, and return it. */
export function askForKey(reason) {
  asking ??= ask(reason).finally(() => (asking = null));
  return asking;
}

function ask(reason) {
  return new Promise((resolve) => {
    const input = h("input", {
      id: "key", type: "password", autocomplete: "off", required: true, spellcheck: "false",
    });
    const done = (event) => {
      event.preventDefault();
      sessionStorage.setItem(PLACE, input.value.trim());
      dialog.close();
    };
    // Who has none yet cannot do without, so Escape opens it again; who has one may keep it.
    const leave = () => {
      if (!currentKey()) return dialog.showModal();
      dialog.remove();
      resolve(currentKey());
    };
    const dialog = h("dialog", { "aria-labelledby": "key-title", onclose: leave },
      h("form", { onsubmit: done },
        h("h2", { id: "key-title" }, "API key"),
        h("p", { role: "alert" }, reason),
        h("div.field", {}, h("label", { for: "key" }, "Key"), input,
          h("small", {}, "Kept in this tab until it is closed.")),
        h("div.buttons", {}, h("button.primary", { type: "submit" }, "Use key"))));
    document.body.append(dialog);
    dialog.showModal();
    input.focus();
  });
}
