// Under the image: the level, what the whole-image view offers, and the zoom.

import { filled, outlineOf } from "../canvas/hover.js";
import { strokeBoth } from "../canvas/marks.js";
import { OFFER_COLOURS } from "../canvas/top.js";
import { word } from "../core/color.js";
import { EMPTY, around } from "../core/mask.js";
import { likes } from "../core/filter.js";
import { atWork } from "../dialogs/learn.js";
import { answerHere } from "../dialogs/same.js";
import { byId, fill, h } from "../dom.js";
import { iconButton, toolButton } from "./buttons.js";
import { remember } from "../preferences.js";

/** @param {any} app */
export function startDock(app) {
  const dock = byId("dock");
  dock.append(alternatives(app), same(app), carrying(app), levels(app), whole(app), brush(app), zoom(app));
}

const THUMB = { width: 64, height: 44 };

/** The other readings of a click, each filled over the same part of the image. @param {any} app */
function alternatives({ store, stage, run }) {
  const group = h("div", { class: "group offers", role: "group", "aria-label": "Other outlines", hidden: true });
  store.on(["offers", "labels"], (/** @type {any} */ { offers, image, active }) => {
    group.hidden = !offers;
    if (!offers) return fill(group);
    const part = [image.bits(active), ...offers.map((/** @type {any} */ each) => each.bits)].reduce(
      (box, bits) => around(box, bits?.box ?? EMPTY.box),
      EMPTY.box,
    );
    const point = (/** @type {number | null} */ i) => () => store.set({ offered: i });
    return fill(
      group,
      offers.map((/** @type {any} */ offer, /** @type {number} */ i) => {
        const canvas = h("canvas", null),
          key = `${store.state.labels.length > i ? "⇧" : ""}${i + 1}`, // as keyboard.js has it
          title = `Outline ${i + 1}, ${offer.area} pixels (${key})`;
        drawThumb(canvas, image, offer.bits, part, OFFER_COLOURS[i], stage.ratio);
        return h(
          "button",
          {
            type: "button",
            title,
            "aria-label": title,
            style: { "--colour": OFFER_COLOURS[i] },
            onclick: () => run(`choose${i + 1}`),
            onpointerenter: point(i),
            onpointerleave: point(null),
            onfocus: point(i),
            onblur: point(null),
          },
          canvas,
          h("span", null, key),
        );
      }),
    );
  });
  return group;
}

/** Likes of an object in this image: how similar they must be, and how many are. @param {any} app */
function same(app) {
  const { store, stage, annotator, run } = app;
  const slider = h("input", {
    type: "range",
    min: 0.05,
    max: 1,
    step: 0.01,
    "aria-label": "Least similarity",
    oninput: () => store.set({ same: { ...store.state.same, least: Number(slider.value) } }),
  });
  const count = h("output", { "aria-label": "Similar objects" });
  const all = h("button", { class: "button main", type: "button", onclick: () => run("finish") });
  const group = h(
    "div",
    { class: "group likes", role: "group", "aria-label": "The same in this image" },
    count,
    slider,
    all,
    h("button", { class: "button", type: "button", onclick: () => run("same") }, "In other images …"),
    iconButton("Leave the others (Esc)", "close", () => run("cancel")),
  );
  stage.tools.answer = (/** @type {any} */ like, /** @type {boolean} */ leave) =>
    like
      ? answerHere(app, [like], leave)
      : annotator.say("Click an outline to take it, right click to leave it out; Esc ends.");
  store.on(["same"], (/** @type {any} */ { same }) => {
    group.hidden = !same;
    if (!same) return;
    const found = likes(same).length;
    slider.value = String(same.least);
    count.textContent = `${found} like it`;
    all.textContent = found === 1 ? "Take it" : `Take all ${found}`;
    all.disabled = !found;
  });
  return group;
}

/** How far an object was carried, and why it ended there. @param {any} app */
function carrying({ store, run }) {
  const words = h("span", { class: "why", role: "status" });
  const bar = h("progress", { "aria-label": "Images" });
  const go = h("button", { class: "button", type: "button", onclick: () => run("carry") });
  const close = iconButton("Close", "close", () => store.set({ carry: null }));
  const group = h("div", { class: "group carry", role: "group", "aria-label": "Carry on" }, words, bar, go, close);
  store.on(["carry"], (/** @type {any} */ { carry }) => {
    const on = atWork(carry);
    group.hidden = !carry;
    bar.hidden = go.hidden = !on;
    close.hidden = on;
    words.textContent = on ? carry.text : (carry?.result?.why ?? carry?.error ?? "");
    go.textContent = "Stop";
    Object.assign(bar, { max: carry?.total || 1, value: carry?.done ?? 0 });
  });
  return group;
}

/**
 * A part of the image, a little wider than the masks in it, with one of them filled.
 * @param {HTMLCanvasElement} canvas @param {import("../image.js").OpenImage} image
 * @param {import("../core/mask.js").Bits} bits @param {import("../core/tree.js").Rect} part
 * @param {string} colour @param {number} ratio device pixels per CSS pixel
 */
function drawThumb(canvas, image, bits, part, colour, ratio) {
  canvas.width = THUMB.width * ratio;
  canvas.height = THUMB.height * ratio;
  const scale = Math.min(canvas.width / part.width, canvas.height / part.height) * 0.86,
    context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
  context.translate(canvas.width / 2, canvas.height / 2);
  context.scale(scale, scale);
  context.translate(-part.x - part.width / 2, -part.y - part.height / 2);
  if (image.picture) context.drawImage(image.picture, 0, 0, image.size.width, image.size.height);
  context.drawImage(filled(bits, word(colour, 150)), bits.box.x, bits.box.y);
  strokeBoth(context, outlineOf(bits).path, colour, 1.5 * ratio, 1 / scale);
}

/** @param {any} app */
function levels({ store, stage }) {
  const slider = h("input", {
    type: "range",
    min: 0,
    max: 1,
    step: 0.005,
    "aria-label": "Level: part, object, scene",
    oninput: () => stage.tools.levels.set(Number(slider.value)),
  });
  const out = h("output", null);
  const auto = h("input", { type: "checkbox", onchange: () => store.set({ auto: auto.checked }) });
  const choice = h(
    "label",
    {
      class: "check less",
      title:
        "The model chooses the level, as outlined where the pointer rests, and offers alternatives if unsure. From a label's fourth object on it is the level that those before ask for, if there is one",
    },
    auto,
    "Auto",
  );
  const element = h(
    "div",
    { class: "level", role: "group", "aria-label": "Level" },
    h("span", { class: "quiet" }, "part"),
    slider,
    h("span", { class: "quiet" }, "scene"),
    out,
  );
  store.on(["level", "active", "revision"], () => {
    const level = stage.tools.levels.now();
    slider.value = String(level);
    out.textContent = level.toFixed(2);
    const word = level < 0.45 ? "part" : level < 0.8 ? "object" : "scene";
    slider.setAttribute("aria-valuetext", `${level.toFixed(2)}, ${word}`);
  });
  const group = h("div", { class: "group levels" }, element, choice);
  store.on(["auto", "whole"], (/** @type {any} */ state) => {
    auto.checked = state.auto;
    choice.hidden = state.whole;
  });
  store.on(
    ["tool", "same", "carry"],
    (/** @type {any} */ { tool, same, carry }) =>
      (group.hidden = same || atWork(carry) || tool === "brush" || tool === "eraser"),
  );
  return group;
}

/** @param {any} app */
function whole({ store, stage, annotator, run }) {
  const words = h("span", { class: "quiet regions" });
  const accept = h(
    "button",
    {
      class: "button main",
      type: "button",
      onclick: () => annotator.turn(() => annotator.act({ kind: "partition", level: store.state.level, label: null })),
    },
    "Accept all regions",
  );
  const merge = h("button", { class: "button", type: "button", onclick: () => run("merge") }, "Merge");
  const split = h("button", { class: "button", type: "button", onclick: () => run("split") }, "Split");
  const label = h("button", { class: "button", type: "button", onclick: () => run("label") }, "Label");
  const element = h(
    "div",
    { class: "group whole", role: "group", "aria-label": "Whole image" },
    words,
    accept,
    merge,
    split,
    label,
  );
  const show = () => {
    const { whole: on, image, selection } = store.state;
    element.hidden = !on;
    if (!on || !image?.owners) return;
    const covered = image.owners.covered(),
      free = stage.partition.count;
    words.textContent =
      covered >= 1 ? "every pixel belongs to an object" : `${free} regions · ${Math.floor(1000 * covered) / 10} % done`;
    accept.hidden = covered >= 1;
    accept.disabled = !free;
    merge.hidden = selection.length < 2;
    split.hidden = selection.length !== 1;
    label.hidden = selection.length < 1;
  };
  store.on(["whole", "image", "revision", "selection"], show);
  stage.element.addEventListener("painted", show);
  return element;
}

/** @param {any} app */
function brush({ store }) {
  const slider = h("input", {
    type: "range",
    min: 0.5,
    max: 60,
    step: 0.5,
    "aria-label": "Brush radius in pixels",
    oninput: () => store.set({ radius: Number(slider.value) }),
  });
  const out = h("output");
  const element = h(
    "div",
    { class: "group", role: "group", "aria-label": "Brush" },
    h("span", { class: "quiet" }, "Brush"),
    slider,
    out,
  );
  store.on(["tool", "radius", "same"], (/** @type {any} */ { tool, radius, same }) => {
    element.hidden = same || (tool !== "brush" && tool !== "eraser");
    slider.value = String(radius);
    out.textContent = `${Math.round(2 * radius)} px`;
  });
  return element;
}

/** @param {any} app */
function zoom(app) {
  const { stage } = app,
    out = h("output", { "aria-label": "Zoom" });
  const kept = iconButton("Keep the zoom for images of the same size", "lock", () =>
    remember(app.store, { keepZoom: !app.store.state.preferences.keepZoom }),
  );
  app.store.on(["preferences"], (/** @type {any} */ { preferences }) =>
    kept.setAttribute("aria-pressed", String(preferences.keepZoom)),
  );
  stage.element.addEventListener("view", () => (out.textContent = `${Math.round(100 * stage.view.scale)} %`));
  return h(
    "div",
    { class: "zoom", role: "group", "aria-label": "Zoom" },
    toolButton(app, "zoomOut", "minus", "small"),
    out,
    toolButton(app, "zoomIn", "plus", "small"),
    toolButton(app, "fit", "fit", "small"),
    kept,
  );
}
