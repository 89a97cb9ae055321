// What each tool does with a press, a drag and a release.

import { boxOf, inside, pixel, thin, toImage, toScreen } from "../core/geometry.js";
import { Levels } from "./levels.js";
import { markOf } from "./marks.js";

/** @typedef {import("../core/geometry.js").Point} Point */

const NEAR = 9;

export class Tools {
  /** @param {import("./stage.js").Stage} stage */
  constructor(stage) {
    this.stage = stage;
    this.levels = new Levels(stage);
    /** @type {{tool: string, label: number, from: Point, points: Point[], touch: boolean} | null} */
    this.gesture = null;
    /** Object under the pointer, or null. @type {number | null} */
    this.over = null;
    /** Step of the object in hand whose mark is under the pointer, or -1. */
    this.near = -1;
    /** @type {{place: number, at: Point} | null} mark being moved */
    this.held = null;
    /** @type {{x: number, y: number, label: number}[]} clicks that the server has not answered yet */
    this.pending = [];
    /** @type {Point | null} where the last click was made: its mark is no target until the pointer has left it */
    this.last = null;
  }

  get state() {
    return this.stage.store.state;
  }

  /** @returns {Point | null} canvas point of the image under the pointer */
  here() {
    const { pointer, image, view } = this.stage;
    if (!pointer || !image) return null;
    const at = toImage(view, pointer);
    return inside(at, image.size) ? at : null;
  }

  /** Find what is under the pointer. */
  look() {
    const { stage } = this,
      { image, hover } = stage,
      { tool, active, level, auto } = this.state;
    const at = this.here();
    this.over = null;
    this.near = this.held ? this.held.place : this.#near();
    let rest = null;
    const seeks =
      tool === "click" && !this.held && !(this.gesture && !this.gesture.touch && this.gesture.points.length > 1);
    if (!image || !at || !seeks || this.near >= 0) hover.clear();
    else {
      const { x, y } = pixel(at, image.size);
      const owned = image.owners?.at(x, y) ?? null;
      const free = stage.shift || stage.alt; // whatever lies there already
      if (active === null && !free) this.over = owned;
      const preview = this.over === null && (active === null || free);
      if (this.levels.preview(image, hover)) this.over = null;
      else if (preview && image.tree && !auto) hover.look(image.tree, x, y, level);
      else hover.clear();
      if (preview && auto && (active === null || stage.shift)) rest = { x, y };
    }
    stage.guess.look(image, rest);
    stage.element.dataset.cursor = this.#cursor(at);
  }

  /** @param {Point | null} at */
  #cursor(at) {
    const { tool } = this.state;
    if (tool === "hand" || this.stage.space) return "grab";
    if (!at) return "";
    if (this.near >= 0 || this.over !== null) return "pointer";
    return tool === "brush" || tool === "eraser" ? "none" : "crosshair";
  }

  #near() {
    const { pointer, image, view } = this.stage;
    const object = image?.object(this.state.active);
    if (!pointer || !object || this.state.tool !== "click") return -1;
    if (this.last && Math.hypot(pointer.x - this.last.x, pointer.y - this.last.y) > NEAR) this.last = null;
    if (this.last) return -1;
    return object.steps.findIndex((step) => {
      const mark = markOf(step);
      if (!mark) return false;
      const at = toScreen(view, mark);
      return Math.hypot(at.x - pointer.x, at.y - pointer.y) < NEAR;
    });
  }

  /** @param {Point} at @param {PointerEvent} event */
  press(at, event) {
    const { tool, polarity } = this.state;
    const touch = event.pointerType === "touch";
    this.look();
    if (this.near >= 0 && event.button === 0) {
      this.held = { place: this.near, at };
      return;
    }
    const label = event.button === 2 || event.button === 5 ? 0 : polarity;
    const eraser = event.button === 5 || (event.buttons & 32) !== 0;
    this.gesture = { tool: eraser ? "eraser" : tool, label, from: at, points: [this.#point(at)], touch };
    this.stage.draw("top");
  }

  /** @param {Point} at @returns {Point} canvas point of the image */
  #point(at) {
    return toImage(this.stage.view, at);
  }

  /** @param {Point} at */
  drag(at) {
    if (this.held) this.held.at = at;
    else this.gesture?.points.push(this.#point(at));
    this.stage.draw("top");
  }

  /** @param {Point} at @param {PointerEvent} event @param {boolean} moved */
  release(at, event, moved) {
    const { gesture, held } = this;
    this.gesture = this.held = null;
    this.stage.draw("look", "top");
    if (held) this.#let(held, moved);
    else if (gesture) this.#finish(gesture, at, event, moved);
  }

  /** @param {{place: number, at: Point}} held @param {boolean} moved */
  #let(held, moved) {
    const { image, annotator } = this.stage;
    const step = image?.object(this.state.active)?.steps[held.place];
    if (!image || !step) return;
    this.last = held.at;
    if (!moved) annotator.dropStep(held.place);
    else if (step.type !== "box")
      annotator.changeStep(held.place, { ...step, ...pixel(this.#point(held.at), image.size) });
  }

  /** @param {NonNullable<Tools["gesture"]>} gesture @param {Point} at @param {PointerEvent} event @param {boolean} moved */
  #finish({ tool, label, points, touch }, at, event, moved) {
    if (tool === "click" && (!moved || touch)) return this.click(this.#point(at), label, event);
    if (!moved && tool === "box") return this.click(this.#point(at), label, event);
    if (tool === "click" || tool === "box") return this.#box(points[0], this.#point(at));
    return this.#stroke(tool, label, points);
  }

  /** @param {Point} a @param {Point} b */
  #box(a, b) {
    const { image, annotator } = this.stage;
    if (image) annotator.addSteps([{ type: "box", box: boxOf(a, b, image.size) }]);
  }

  /** @param {string} tool @param {number} label @param {Point[]} points */
  #stroke(tool, label, points) {
    const { image, annotator, view } = this.stage,
      { radius, active } = this.state;
    if (!image) return;
    const limit = (/** @type {number} */ value, /** @type {number} */ most) =>
      Math.round(10 * Math.min(Math.max(value - 0.5, 0), most - 1)) / 10;
    const line = thin(points, Math.max(2 / view.scale, tool === "scribble" ? 3 : radius / 4)).map(({ x, y }) => [
      limit(x, image.size.width),
      limit(y, image.size.height),
    ]);
    if (tool === "scribble") annotator.addSteps([{ type: "scribble", points: line, label }]);
    else if (tool === "brush" || tool === "eraser") {
      const erases = tool === "eraser" || label === 0;
      if (active === null && erases)
        return annotator.say("Choose the object to erase from: click it with the click tool.");
      annotator.addSteps([{ type: "brush", points: line, radius: this.brush(), label: erases ? 0 : 1 }]);
    }
  }

  /** Radius of the brush in pixels of the image. */
  brush() {
    return Math.round(10 * Math.max(this.state.radius, 0.5)) / 10;
  }

  /**
   * A click: take what is under the pointer, or correct the object in hand.
   * @param {Point} point canvas point of the image @param {number} label
   * @param {{shiftKey?: boolean, ctrlKey?: boolean, metaKey?: boolean, altKey?: boolean}} how Shift: a new object;
   *   Alt: add the region; Ctrl: choose several
   */
  click(point, label, { shiftKey, ctrlKey, metaKey, altKey }) {
    const { image, annotator } = this.stage,
      { active } = this.state;
    if (!image || !inside(point, image.size)) return;
    const { x, y } = pixel(point, image.size),
      owned = image.owners?.at(x, y) ?? null;
    this.last = toScreen(this.stage.view, point);
    if (ctrlKey || metaKey) return void (owned !== null && annotator.toggle(owned));
    if (active !== null && altKey && label) return this.#take(x, y, false);
    if (active !== null && !shiftKey) return this.#correct(x, y, label);
    if (owned !== null && !shiftKey) return annotator.take(owned);
    if (label) return this.#take(x, y, true);
    return annotator.say("Click an object first; then a right click removes what does not belong to it.");
  }

  /** @param {number} x @param {number} y @param {boolean} fresh a new object */
  #take(x, y, fresh) {
    const { level, auto } = this.state,
      { annotator } = this.stage;
    this.#until(
      x,
      y,
      1,
      annotator.addSteps([auto ? { type: "click", x, y, label: 1 } : { type: "region", x, y, level }], fresh),
    );
  }

  /** @param {number} x @param {number} y @param {number} label */
  #correct(x, y, label) {
    this.#until(x, y, label, this.stage.annotator.addSteps([{ type: "click", x, y, label }]));
  }

  /** Show a click at once, until it is answered. */
  #until(
    /** @type {number} */ x,
    /** @type {number} */ y,
    /** @type {number} */ label,
    /** @type {Promise<void>} */ answer,
  ) {
    const mark = { x, y, label };
    this.pending.push(mark);
    answer.finally(() => {
      this.pending = this.pending.filter((each) => each !== mark);
      this.stage.draw("look", "top");
    });
  }

  /** @param {Point} at a long press: remove this from the object */
  hold(at) {
    const touch = this.gesture?.touch;
    this.gesture = this.held = null;
    if (touch) this.click(this.#point(at), 0, {});
    navigator.vibrate?.(10);
  }

  cancel() {
    this.gesture = this.held = null;
    this.levels.drop();
    this.stage.draw("look", "top");
  }

  /** @param {number} direction */
  walk(direction) {
    this.levels.walk(direction);
  }
}
