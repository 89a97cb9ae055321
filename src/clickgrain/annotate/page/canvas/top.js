// The upper canvas: what changes with every move of the pointer.

import { filled, outlineOf, pathOf } from "./hover.js";
import { likes } from "../core/filter.js";
import {
  NEGATIVE,
  strokeActive,
  POSITIVE,
  drawBadge,
  drawBox,
  drawBrush,
  drawClick,
  drawPointer,
  drawStroke,
  markOf,
  strokeBoth,
} from "./marks.js";
import { word } from "../core/color.js";
import { toScreen } from "../core/geometry.js";

export const OFFER_COLOURS = ["#0047ff", "#d100b8", "#00713a"];

/** @param {import("./stage.js").Stage} stage */
export function drawTop(stage) {
  const context = stage.top,
    { ratio } = stage;
  context.setTransform(1, 0, 0, 1, 0, 0);
  context.clearRect(0, 0, context.canvas.width, context.canvas.height);
  if (!stage.image || stage.bare) return;
  inImage(stage);
  drawHover(stage);
  drawGuess(stage);
  drawObjects(stage);
  drawOffers(stage);
  drawLikes(stage);
  drawGesture(stage);
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  drawBadges(stage);
  if (stage.store.state.tool === "polygon") stage.tools.polygon.draw();
  else drawMarks(stage);
  drawTool(stage);
}

/** @param {import("./stage.js").Stage} stage @param {number} [sx] @param {number} [sy] units of the image */
function inImage({ top, view, ratio }, sx = 1, sy = 1) {
  top.setTransform(view.scale * ratio * sx, 0, 0, view.scale * ratio * sy, view.x * ratio, view.y * ratio);
}

/** @param {import("./stage.js").Stage} stage */
function drawHover(stage) {
  const { hover, top, image, view } = stage;
  if (hover.node < 0 || !hover.path || !image?.tree) return;
  const sx = image.size.width / image.tree.width,
    sy = image.size.height / image.tree.height;
  inImage(stage, sx, sy);
  const { x, y, width, height } = hover.box;
  top.imageSmoothingEnabled = view.scale * sx < 3;
  if (width && height) top.drawImage(hover.canvas, 0, 0, width, height, x, y, width, height);
  strokeBoth(top, hover.path, "#fff", 1.5, 1 / (view.scale * sx));
  inImage(stage);
}

/** @param {import("./stage.js").Stage} stage */
function drawGuess({ guess, top, view }) {
  if (guess.change) top.drawImage(guess.change.canvas, guess.change.x, guess.change.y);
  if (guess.shown) strokeBoth(top, outlineOf(guess.shown).path, "#fff", 1.5, 1 / view.scale);
}

/** @param {import("./stage.js").Stage} stage */
function drawObjects(stage) {
  const { image, top, view, store, tools } = stage,
    { active, selection, lit, projectDocument, preferences } = store.state;
  if (!image?.document) return;
  const shown = new Set([...selection, tools.over, active, lit]);
  for (const object of image.document.objects) {
    const bits = image.bits(object.id);
    const outlined = (projectDocument?.overlap || preferences.outline) && !object.hidden;
    if (!bits || (!shown.has(object.id) && !outlined)) continue;
    const colour = image.colour(object, store.state);
    if (!shown.has(object.id)) strokeBoth(top, outlineOf(bits).path, colour, 1, 1 / view.scale);
    else if (object.id === active) strokeActive(top, outlineOf(bits).path, 1 / view.scale);
    else
      strokeBoth(
        top,
        outlineOf(bits).path,
        object.id === tools.over || object.id === lit ? "#fff" : colour,
        1.5,
        1 / view.scale,
      );
  }
}

/** @param {import("./stage.js").Stage} stage */
function drawOffers({ store, top, view }) {
  const { offers, offered } = store.state;
  offers?.forEach((offer, i) => {
    const { x, y } = offer.bits.box;
    if (i === offered) top.drawImage(filled(offer.bits, word(OFFER_COLOURS[i], 140)), x, y);
    if (i === offered || offered === null)
      strokeBoth(top, outlineOf(offer.bits).path, OFFER_COLOURS[i], 2, 1 / view.scale);
  });
}

/** What *Find the same* found in this image. @param {import("./stage.js").Stage} stage */
function drawLikes(stage) {
  const { image, top, view, store, tools } = stage,
    { same } = store.state;
  if (!same || !image?.tree) return;
  const sx = image.size.width / image.tree.width;
  inImage(stage, sx, image.size.height / image.tree.height);
  for (const like of likes(same)) {
    const mask = (like.mask ??= image.tree.mask(like.node));
    like.path ??= pathOf(mask);
    if (like === tools.like) top.drawImage(filled(mask, word(POSITIVE, 130)), mask.box.x, mask.box.y);
    strokeBoth(top, like.path, "#ffd84a", 2, 1 / (view.scale * sx));
  }
  inImage(stage);
}

/** @param {import("./stage.js").Stage} stage */
function drawBadges({ store, top, view }) {
  /** @type {{x: number, y: number}[]} */
  const placed = [];
  const { offers, offered } = store.state;
  offers?.forEach((offer, i) => {
    if (offered !== null && offered !== i) return;
    const { x, y, width } = offer.bits.box;
    const at = toScreen(view, { x: x + width / 2, y });
    while (placed.some((other) => Math.hypot(other.x - at.x, other.y - at.y) < 26)) at.x += 28;
    placed.push(at);
    drawBadge(top, at.x, Math.max(at.y, 16), String(i + 1), OFFER_COLOURS[i]);
  });
}

/** @param {import("./stage.js").Stage} stage */
function drawMarks({ image, top, view, store, tools }) {
  const object = image?.object(store.state.active);
  object?.steps.forEach((step, i) => {
    const mark = markOf(step);
    if (!mark) return;
    const at = tools.held?.place === i ? tools.held.at : toScreen(view, mark);
    if (step.type === "box") {
      top.globalAlpha = 0.7;
      drawBox(top, toScreen(view, mark), toScreen(view, { x: step.box[2], y: step.box[3] }));
      top.globalAlpha = 1;
    }
    if (step.type !== "box" || tools.near === i) drawClick(top, at.x, at.y, step.label ?? 1, tools.near === i);
  });
  for (const { x, y, label } of tools.pending) {
    const at = toScreen(view, { x: x + 0.5, y: y + 0.5 });
    drawClick(top, at.x, at.y, label, false);
  }
}

/** @param {import("./stage.js").Stage} stage */
function drawGesture({ tools, top, view, store, image }) {
  const gesture = tools.stroke(),
    object = image?.object(store.state.active);
  if (object && tools.gesture === null) drawScribbles(top, object.steps, view.scale);
  if (!gesture) return;
  if (gesture.tool === "scribble") drawStroke(top, gesture.points, gesture.label ? POSITIVE : NEGATIVE, 3 / view.scale);
  if (gesture.tool !== "brush" && gesture.tool !== "eraser") return;
  const erases = gesture.tool === "eraser" || !gesture.label;
  const colour = object ? /** @type {any} */ (image).colour(object, store.state) : "#fff";
  top.globalAlpha = 0.6;
  drawStroke(top, gesture.points, erases ? "#fff" : colour, 2 * tools.brush());
  top.globalAlpha = 1;
}

/** @param {CanvasRenderingContext2D} top @param {Record<string, any>[]} steps @param {number} scale */
function drawScribbles(top, steps, scale) {
  for (const step of steps) {
    if (step.type !== "scribble") continue;
    const points = step.points.map(([x, y]) => ({ x: x + 0.5, y: y + 0.5 }));
    drawStroke(top, points, step.label ? POSITIVE : NEGATIVE, 2.5 / scale);
  }
}

/** @param {import("./stage.js").Stage} stage */
function drawTool({ tools, top, pointer, view, store, byKeyboard }) {
  const { gesture } = tools,
    { tool } = store.state;
  const boxes =
    gesture && !gesture.touch && (gesture.tool === "box" || gesture.tool === "click") && gesture.points.length > 1;
  if (boxes) drawBox(top, gesture.from, toScreen(view, gesture.points[gesture.points.length - 1]));
  if (!pointer) return;
  if ((tool === "brush" || tool === "eraser") && tools.here())
    drawBrush(top, pointer.x, pointer.y, tools.brush() * view.scale);
  if (byKeyboard) drawPointer(top, pointer.x, pointer.y);
}
