// The object in hand: its label, its steps, each of which can be taken away, and its commands.

import { h, icon } from "../dom.js";
import { named } from "../dialogs/learn.js";
import { iconButton, titleOf } from "./buttons.js";

const STEP_WORDS = /** @type {Record<string, string>} */ ({
  box: "box",
  scribble: "scribble",
  level: "level",
  choose: "outline",
  brush: "brush",
  polygon: "corners",
  mask: "mask",
});

/** @param {any} app @param {import("../image.js").Thing} thing */
export function details(app, thing) {
  const { annotator, run, open } = app;
  const button = (/** @type {string} */ id, /** @type {string} */ name) =>
    iconButton(titleOf(app, id), name, () => run(id), { disabled: thing.locked && !["same", "carry"].includes(id) });
  return h(
    "div",
    { class: "details" },
    h(
      "div",
      { class: "row" },
      h(
        "button",
        {
          class: "button grow",
          type: "button",
          onclick: () => open.label(),
          title: titleOf(app, "label"),
          disabled: thing.locked,
        },
        thing.label ? "Change label" : "Give a label",
      ),
      colour(app, thing),
    ),
    h(
      "ul",
      { class: "steps", "aria-label": "Steps of this object" },
      thing.steps.map((step, i) => chip(annotator, step, i, thing.locked)),
    ),
    h(
      "div",
      { class: "row acts" },
      button("raise", "up"),
      button("lower", "down"),
      button("split", "split"),
      button("same", "same"),
      button("carry", "right"),
      h("span", { class: "grow" }),
      button("remove", "trash"),
    ),
    h("p", { class: "quiet facts" }, facts(thing)),
    answeredBy(app, thing),
  );
}

/** @param {any} app @param {import("../image.js").Thing} thing */
function colour({ store, annotator }, thing) {
  return h("input", {
    type: "color",
    value: store.state.image.colour(thing, store.state),
    "aria-label": "Colour of this object",
    title: "Colour of this object",
    disabled: thing.locked,
    onchange: (/** @type {any} */ event) =>
      annotator.turn(() => annotator.edit([thing.id], { colour: event.target.value })),
  });
}

/** Which model made the mask of all clicks: each is answered again when another model takes over. @param {any} app @param {any} thing */
function answeredBy({ store }, { model: hash, steps }) {
  const asked = steps.filter((/** @type {any} */ step) => !["brush", "mask", "polygon", "region"].includes(step.type)).length,
    { models, model } = store.state;
  if (!hash || !asked) return null;
  const known = models.find((/** @type {any} */ each) => each.hash === hash) ?? (model?.hash === hash ? model : null);
  return h("p", { class: "quiet answered" }, `Clicks answered by ${known ? named(known) : "a model that this project does not know"}`);
}

/** @param {import("../image.js").Thing} thing */
function facts(thing) {
  const area = thing.area >= 1e5 ? `${(thing.area / 1e6).toFixed(2)} Mpx` : `${thing.area} px`;
  return thing.seconds ? `${area} · ${Math.round(thing.seconds)} s` : area;
}

/** @param {any} annotator @param {Record<string, any>} step @param {number} place @param {boolean} locked */
function chip(annotator, step, place, locked) {
  const words = wordsOf(step);
  return h(
    "li",
    null,
    h(
      "button",
      {
        type: "button",
        class: "chip",
        "data-sign": signOf(step),
        title: `Take away: ${words}`,
        "aria-label": `Take away step ${place + 1}: ${words}`,
        disabled: locked,
        onclick: () => annotator.turn(() => annotator.dropStep(step)),
      },
      words,
      icon("close"),
    ),
  );
}

/** @param {Record<string, any>} step */
function signOf(step) {
  if (step.type === "region") return "plus";
  return "label" in step ? (step.label ? "plus" : "minus") : "";
}

/** @param {Record<string, any>} step */
function wordsOf(step) {
  if (step.usual) return `click at the usual level, ${step.usual.toFixed(2)}`;
  if (step.view) return "click in the enlarged image";
  if (step.type === "click") return step.label ? "click" : "not this";
  if (step.type === "region") return `region ${step.level.toFixed(2)}`;
  if (step.type === "brush") return step.label ? "brush" : "eraser";
  if (step.type === "level") return step.level === null ? "level free" : `level ${step.level.toFixed(2)}`;
  return STEP_WORDS[step.type] ?? step.type;
}
