/** A dialog with one action; what the service refuses is said in it, in the service's own words. */

import { h } from "./dom.js";

/**
 * Open a dialog.
 * @param {Object} options
 * @param {string} options.title
 * @param {Node[]} options.content
 * @param {string} options.action What the button says that does it.
 * @param {boolean} [options.destroys] Whether something is lost by it.
 * @param {function(): Promise} options.run Does it. The dialog closes when that is done, and stays if it fails.
 */
export function openDialog({ title, content, action, destroys = false, run }) {
  const refusal = h("p.refusal", { role: "alert", hidden: true });
  const go = h(destroys ? "button.danger" : "button.primary", { type: "submit" }, action);
  const cancel = h("button", { type: "button", onclick: () => dialog.close() }, "Cancel");
  const submit = async (event) => {
    event.preventDefault();
    go.disabled = true;
    refusal.hidden = true;
    try {
      await run();
      dialog.close();
    } catch (error) {
      refusal.textContent = error.message;
      refusal.hidden = false;
    } finally {
      go.disabled = false;
    }
  };
  const dialog = h("dialog", { "aria-labelledby": "dialog-title", onclose: () => dialog.remove() },
    h("form", { onsubmit: submit },
      h("h2", { id: "dialog-title" }, title), content, refusal, h("div.buttons", {}, cancel, go)));
  document.body.append(dialog);
  dialog.showModal();
  return dialog;
}
