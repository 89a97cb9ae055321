// One line over the image that says what just happened or what to do next, and says it to screen readers.

import { byId, fill, h } from "../dom.js";

const STAYS_MS = 3500;
const COMPILING =
  "Getting ready: compiling for this machine, once. About ten seconds; minutes where it is busy.";

/** @param {any} app */
export function startHint({ store, annotator, gallery }) {
  const hint = byId("hint"),
    said = byId("said"),
    veil = byId("veil");
  let timer = 0;
  annotator.say = (/** @type {string} */ text) => {
    clearTimeout(timer);
    hint.textContent = said.textContent = text;
    hint.hidden = !text;
    timer = setTimeout(() => (hint.hidden = true), STAYS_MS);
  };
  store.on(
    ["image"],
    (/** @type {any} */ { image }) => image?.info.notes.length && annotator.say(image.info.notes.join(" ")),
  );
  store.on(["image", "revision", "opening", "images", "compiling", "broken"], (/** @type {any} */ state) => {
    if (state.broken && !state.opening) return showBroken(veil, state.broken, gallery, annotator);
    const [text, slim] = waiting(state);
    veil.hidden = !text;
    byId("stage").setAttribute("aria-busy", String(Boolean(text)));
    veil.classList.toggle("slim", slim);
    fill(veil, h("p", { role: "status" }, text));
  });
}

/**
 * An image that cannot be opened, in its own place.
 * @param {HTMLElement} veil @param {{id: number, name: string, reason: string}} broken @param {any} gallery @param {any} annotator
 */
function showBroken(veil, { id, name, reason }, gallery, annotator) {
  veil.hidden = false;
  veil.classList.remove("slim");
  const button = (/** @type {string} */ text, /** @type {() => any} */ work) =>
    h("button", { class: "button", type: "button", onclick: () => annotator.turn(work) }, text);
  fill(
    veil,
    h(
      "div",
      // the canvas below must not take the press
      { class: "broken", role: "alert", onpointerdown: (/** @type {Event} */ event) => event.stopPropagation() },
      h("b", null, name),
      h("p", null, reason),
      button("Skip this image", () => annotator.skip()),
      button("Try again", () => void gallery.show(id)),
    ),
  );
}

/** @param {any} state @returns {[string, boolean]} what is being waited for, and whether the image is there already */
function waiting({ image, opening, images, compiling }) {
  if (!image && !opening && !images.length) return ["There are no photos in this folder.", false];
  if (opening) return ["Opening the image …", Boolean(image)];
  if (compiling && (!image?.trouble || image.trouble.code === "busy")) return [COMPILING, Boolean(image)];
  if (image && !image.tree && !image.passing) return [image.trouble?.message ?? "Finding regions in this image …", true];
  return ["", false];
}
