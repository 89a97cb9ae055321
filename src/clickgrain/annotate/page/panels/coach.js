// The first object: four things to try, each ticked once it was done; shown until then, or until it is closed.

import { TOUCH, byId, fill, h, icon } from "../dom.js";
import { iconButton } from "./buttons.js";
import { keep, recall } from "../preferences.js";

const KEY = "clickgrain.coach";

/** What to try, and how one sees that it was done. @type {[string, (objects: any[], state: any) => boolean][]} */
const MARKS = [
  [
    TOUCH ? "With *Auto* on, a tap takes a thing." : "With *Auto* on, rest the pointer on a thing to see what a click takes; click.",
    (objects) => objects.length > 0,
  ],
  [`${TOUCH ? "A long press on" : "Right click"} what does not belong to it.`, (objects) => objects.some(({ steps }) => steps.some(isNegative))],
  [`Switch *Auto* off: the ${TOUCH ? "slider" : "wheel"} goes from parts to things to the scene.`, (_, { auto }) => !auto],
  [
    TOUCH ? "The list gives it a label, ✓ ends it; the next tap begins another." : "L gives it a label, Enter ends it; the next click begins another.",
    (objects) => objects.some(({ label }) => label !== null),
  ],
];

/** @param {any} step */
const isNegative = (step) => step.label === 0;

/** @param {any} app */
export function startCoach({ store }) {
  if (recall(KEY).over) return;
  const done = new Set();
  let began = false;
  const list = h("ol", null);
  const end = () => {
    keep(KEY, { over: true });
    stop();
    card.remove();
  };
  const close = iconButton("Close: I know how", "close", end);
  const card = h("section", { class: "coach", "aria-label": "Your first object", hidden: true }, h("div", { class: "row" }, h("h2", { class: "grow" }, "Your first object"), close), list);
  card.addEventListener("pointerdown", (/** @type {Event} */ event) => event.stopPropagation());
  byId("middle").append(card);
  const stop = store.on(["image", "images", "revision", "auto", "broken"], (/** @type {any} */ state) => {
    const objects = state.image?.document?.objects ?? [];
    if (!began && (!state.image?.tree || state.images.some((/** @type {any} */ each) => each.objects))) return;
    if (!began && !state.auto) done.add(2);
    began = true;
    card.hidden = Boolean(state.broken);
    MARKS.forEach(([, isDone], i) => isDone(objects, state) && done.add(i));
    fill(list, MARKS.map(([words], i) => h("li", { class: done.has(i) ? "done" : "" }, done.has(i) ? icon("check") : null, emphasized(words))));
    if (done.size === MARKS.length) setTimeout(end, 1500);
  });
}

/** @param {string} words with one *thing* that stands out */
function emphasized(words) {
  return h("span", null, words.split("*").map((part, i) => (i % 2 ? h("b", null, part) : part)));
}
