// A dialog over the page: the browser keeps the focus inside and Escape closes it.

import { h } from "../dom.js";
import { iconButton } from "../panels/buttons.js";

/**
 * @param {string} title @param {any} body elements @param {{name?: string, closed?: () => void, wide?: boolean}} [options]
 * @returns {HTMLDialogElement}
 */
export function openDialog(title, body, { name = "", closed = () => {}, wide = false } = {}) {
  const before = /** @type {HTMLElement | null} */ (document.activeElement);
  const dialog = h(
    "dialog",
    { class: `${wide ? "wide" : ""} ${name}`, "aria-label": title, tabindex: "-1" },
    h(
      "header",
      null,
      h("h2", { class: "grow" }, title),
      iconButton("Close", "close", () => dialog.close()),
    ),
    h("div", { class: "body", tabindex: "0" }, body),
  );
  dialog.addEventListener("close", () => {
    dialog.remove();
    closed();
    before?.isConnected && before.focus({ preventScroll: true });
  });
  dialog.addEventListener(
    "pointerdown",
    (/** @type {PointerEvent} */ event) => event.target === dialog && outside(dialog, event) && dialog.close(),
  );
  document.body.append(dialog);
  dialog.showModal();
  const inside = [...dialog.querySelectorAll(".body :is(input, button, select, a):not([disabled])")];
  (inside.find((each) => each.offsetParent !== null) ?? dialog).focus({ preventScroll: true });
  return dialog;
}

/** @param {HTMLElement} dialog @param {PointerEvent} event */
function outside(dialog, event) {
  const { left, right, top, bottom } = dialog.getBoundingClientRect();
  return event.clientX < left || event.clientX > right || event.clientY < top || event.clientY > bottom;
}

/** @param {any[]} children */
export function buttonRow(...children) {
  return h("div", { class: "buttons" }, children);
}

/** @param {string} text @param {() => any} onclick @param {string} [more] classes */
export function button(text, onclick, more = "") {
  return h("button", { class: `button ${more}`, type: "button", onclick }, text);
}
