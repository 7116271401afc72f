/** Elements, made in one line each. Text is always text: nothing here parses HTML. */

/**
 * Return an element.
 * @param {string} tag `div`, or `div.class.other`.
 * @param {Object} props Attributes; a function under `onclick` and the like is a listener.
 * @param {...(Node|string|number|null)} children
 */
export function h(tag, props = {}, ...children) {
  const [name, ...classes] = tag.split(".");
  const element = document.createElement(name);
  if (classes.length) element.className = classes.join(" ");
  for (const [key, value] of Object.entries(props)) {
    if (typeof value === "function") element.addEventListener(key.slice(2), value);
    else if (value === true) element.setAttribute(key, "");
    else if (value !== false && value != null) element.setAttribute(key, value);
  }
  element.append(...children.flat().filter((one) => one != null));
  return element;
}

/** A labelled field of a form; `note` says more below it. */
export function field(label, control, note = null) {
  const described = note && h("small", { id: `${control.id}-note` }, note);
  if (described) control.setAttribute("aria-describedby", described.id);
  return h("div.field", {}, h("label", { for: control.id }, label), control, described);
}

/** A value with its name, as the facts of a page show them. */
export function fact(name, value, more = null) {
  return h("div.fact", {}, h("dt", {}, name), h("dd", {}, value, more && h("small", {}, more)));
}

/** Say something in passing. */
export function notify(text) {
  const notice = h("p", {}, text);
  document.getElementById("notices").append(notice);
  setTimeout(() => notice.remove(), 6000);
}
