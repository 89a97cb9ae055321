// What each tool does with a press, a drag and a release.

import { likes } from "../core/filter.js";
import { boxOf, inside, pixel, thin, toImage, toScreen } from "../core/geometry.js";
import { Levels } from "./levels.js";
import { markOf } from "./marks.js";
import { Polygon } from "./polygon.js";

/** @typedef {import("../core/geometry.js").Point} Point */

const NEAR = 9;
/** A second click so soon (ms) and so near (screen pixels) is the second half of a double click. */
const DOUBLE_MS = 400,
  DOUBLE_PX = 6;
/** Tools that are drawn with. */
const STROKES = ["scribble", "brush", "eraser"];
/** A box has sides of at least so many screen pixels, or one is twice as long as this: less is a click that slipped. */
const LEAST_BOX = 8;

export class Tools {
  /** @param {import("./stage.js").Stage} stage */
  constructor(stage) {
    this.stage = stage;
    this.levels = new Levels(stage);
    this.polygon = new Polygon(stage);
    /** @type {{tool: string, label: number, from: Point, points: Point[], touch: boolean, straight: boolean} | null} */
    this.gesture = null;
    /** Where the last stroke on the image ended, canvas point: with Shift the next one is a straight line from there. @type {{image: any, point: Point} | null} */
    this.ended = null;
    /** Object under the pointer, or null. @type {number | null} */
    this.over = null;
    /** The one before, to tell when it changes. @type {number | null} */
    this.was = null;
    /** Candidate of *Find the same* under the pointer. @type {any} */
    this.like = null;
    /** What a click on one does; the dock sets it. @type {(like: any, leave: boolean) => any} */
    this.answer = () => {};
    /** Step of the object in hand whose mark is under the pointer, or -1. */
    this.near = -1;
    /** @type {{place: number, at: Point} | null} mark being moved */
    this.held = null;
    /** @type {{x: number, y: number, label: number}[]} clicks that the server has not answered yet */
    this.pending = [];
    /** Node that the wheel has walked to in Auto, which a click takes; -1 for what the model would choose. */
    this.walked = -1;
    /** @type {Point | null} where the last click was made: its mark is no target until the pointer has left it */
    this.last = null;
    /** When and where the last click was made, screen, and with which label. */
    this.before = { time: -Infinity, x: 0, y: 0, label: 1 };
    // what is done between two clicks makes them two, however fast they are
    for (const name of ["keydown", "keyup", "wheel"])
      addEventListener(
        name,
        (/** @type {any} */ { repeat }) => repeat || (this.before.time = -Infinity), // a key held down is one key
        { capture: true, passive: true },
      );
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
    this.like = at && this.#likeAt(at);
    this.near = this.held ? this.held.place : this.#near();
    let rest = null;
    const seeks =
      !this.state.same && tool === "click" && !this.held && !(this.gesture && !this.gesture.touch && this.gesture.points.length > 1);
    if (!image || !at || !seeks || this.near >= 0) hover.clear();
    else {
      const { x, y } = pixel(at, image.size);
      const owned = image.owners?.at(x, y) ?? null;
      const free = stage.shift || stage.alt; // whatever lies there already
      if (active === null && !free) this.over = owned;
      const preview = this.over === null && (active === null || free);
      if (this.levels.preview(image, hover)) this.over = null;
      else if (preview && image.tree && (!auto || this.walked >= 0 || stage.alt)) {
        hover.look(image.tree, x, y, level);
        if (auto && !stage.alt && hover.node !== this.walked) {
          this.walked = -1; // the pointer has left the region
          hover.clear();
        }
      } else hover.clear();
      if (preview && auto && this.walked < 0 && (active === null || stage.shift)) rest = { x, y };
    }
    // a pointer that left is in the list perhaps, which lights what it is on there
    if (stage.pointer && this.over !== this.was) stage.store.set({ lit: this.over });
    this.was = this.over;
    const corrects = seeks && active !== null && this.near < 0 && !stage.shift && !stage.alt && !this.levels.tried;
    if (corrects && at && image && !this.gesture && !this.pending.length && !image.object(active)?.locked)
      stage.guess.look(image, pixel(at, image.size), active, stage.negates ? 0 : this.state.polarity);
    else stage.guess.look(image, rest, null, 1, this.state.label, stage.seen);
    stage.element.dataset.cursor = this.#cursor(at);
  }

  /** @param {Point} at canvas point of the image @returns {any} the candidate of *Find the same* that is shown there */
  #likeAt(at) {
    const { image } = this.stage,
      { same } = this.state;
    if (!same || !image?.tree) return null;
    const { tree } = image,
      { x, y } = pixel(at, image.size);
    return likes(same).find(({ node }) => tree.holds(node, x, y)) ?? null;
  }

  /** @param {Point | null} at */
  #cursor(at) {
    const { tool } = this.state;
    if (tool === "hand" || this.stage.space) return "grab";
    if (tool === "polygon" && this.stage.pointer && this.polygon.under(this.stage.pointer)) return "pointer";
    if (!at) return "";
    if (this.near >= 0 || this.over !== null || this.like) return "pointer";
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
    if (tool === "polygon") return void this.polygon.press(at, event);
    if (this.near >= 0 && event.button === 0) {
      this.held = { place: this.near, at };
      return;
    }
    const label = event.button === 2 || event.button === 5 ? 0 : polarity;
    const eraser = event.button === 5 || (event.buttons & 32) !== 0;
    const straight = event.shiftKey && (eraser || STROKES.includes(tool));
    this.gesture = { tool: eraser ? "eraser" : tool, label, from: at, points: [this.#point(at)], touch, straight };
    this.stage.draw("top");
  }

  /** @param {Point} at @returns {Point} canvas point of the image */
  #point(at) {
    return toImage(this.stage.view, at);
  }

  /** @param {Point} at */
  drag(at) {
    if (this.polygon.held) return this.polygon.drag(at);
    if (this.held) this.held.at = at;
    else this.gesture?.points.splice(this.gesture.straight ? 1 : Infinity, 1, this.#point(at));
    this.stage.draw("top");
  }

  /** @param {Point} at @param {PointerEvent} event @param {boolean} moved */
  release(at, event, moved) {
    const { gesture, held } = this;
    if (this.polygon.held) return this.polygon.release();
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
    const at = pixel(this.#point(held.at), image.size);
    if (!moved) annotator.turn(() => annotator.dropStep(step));
    else if (step.type !== "box") annotator.turn(() => annotator.changeStep(step, { ...step, ...at }));
  }

  /** @param {NonNullable<Tools["gesture"]>} gesture @param {Point} at @param {PointerEvent} event @param {boolean} moved */
  #finish({ tool, label, from, points, touch, straight }, at, event, moved) {
    if (STROKES.includes(tool)) return this.#stroke(tool, label, straight && !moved ? this.#line(points[0]) : points);
    if (tool === "hand") return undefined;
    const sides = [Math.abs(at.x - from.x), Math.abs(at.y - from.y)];
    const slipped = Math.min(...sides) < LEAST_BOX && Math.max(...sides) < 2 * LEAST_BOX;
    if (!moved || slipped || (touch && tool === "click")) return this.#clickOnce(points[0], from, label, event);
    return this.#box(points[0], this.#point(at), label);
  }

  /** A click, unless it is the second half of a double click. */
  #clickOnce(
    /** @type {Point} */ point,
    /** @type {Point} */ { x, y },
    /** @type {number} */ label,
    /** @type {PointerEvent} */ event,
  ) {
    const { before } = this,
      time = event.timeStamp;
    this.before = { time, x, y, label };
    const near = Math.hypot(x - before.x, y - before.y) < DOUBLE_PX;
    if (near && label === before.label && time - before.time < DOUBLE_MS) return;
    this.click(point, label, event);
  }

  /** @param {Point} a @param {Point} b @param {number} label */
  #box(a, b, label) {
    const { image } = this.stage;
    if (!image) return;
    const box = boxOf(a, b, image.size);
    this.#inTurn(() =>
      label || this.state.active !== null
        ? this.stage.annotator.addSteps([{ type: "box", box, label }])
        : this.stage.annotator.say("Choose an object first; then a right drag takes away what is in the box."),
    );
  }

  /** When its turn comes, unless another image is open by then. */
  #inTurn(/** @type {() => any} */ work) {
    const { image, annotator } = this.stage;
    annotator.turn(() => this.stage.image === image && work());
  }

  /** @param {string} tool @param {number} label @param {Point[]} points */
  #stroke(tool, label, points) {
    const { image, annotator, view } = this.stage,
      { radius } = this.state;
    if (!image) return;
    this.ended = { image, point: points[points.length - 1] };
    const limit = (/** @type {number} */ value, /** @type {number} */ most) =>
      Math.round(10 * Math.min(Math.max(value - 0.5, 0), most - 1)) / 10;
    const line = thin(points, Math.max(2 / view.scale, tool === "scribble" ? 3 : radius / 4)).map(({ x, y }) => [
      limit(x, image.size.width),
      limit(y, image.size.height),
    ]);
    if (tool === "scribble") return this.#inTurn(() => annotator.addSteps([{ type: "scribble", points: line, label }]));
    const erases = tool === "eraser" || label === 0,
      step = { type: "brush", points: line, radius: this.brush(), label: erases ? 0 : 1 };
    this.#inTurn(() =>
      erases && this.state.active === null
        ? annotator.say("Choose the object to erase from: click it with the click tool.")
        : annotator.addSteps([step]),
    );
  }

  /** @param {Point} to @returns {Point[]} a line from where the last stroke on this image ended, if there was one */
  #line(to) {
    return this.ended?.image === this.stage.image ? [this.ended.point, to] : [to];
  }

  /** The stroke being drawn, or while Shift is held the straight one that a click would draw. */
  stroke() {
    const { tool, polarity } = this.state,
      at = this.here();
    if (this.gesture || !this.stage.shift || !at || !STROKES.includes(tool)) return this.gesture;
    return { tool, label: polarity, points: this.#line(at) };
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
    const { image, annotator } = this.stage;
    if (!image || !inside(point, image.size)) return undefined;
    if (this.state.same) return this.#inTurn(() => this.answer(this.#likeAt(point), !label));
    const { x, y } = pixel(point, image.size),
      mark = { x, y, label };
    this.last = toScreen(this.stage.view, point);
    // exactly what is shown now, whatever the level is when the click's turn comes
    const { level, auto } = this.state,
      click = { type: "click", x, y, label },
      view = this.stage.seen,
      first = view && label ? { ...click, view } : click,
      region = { type: "region", x, y, level },
      shown = auto && this.walked < 0 && !altKey ? first : region;
    this.walked = -1;
    this.pending.push(mark); // shown at once, until it is answered
    this.#inTurn(async () => {
      const { active } = this.state,
        owned = image.owners?.at(x, y) ?? null;
      if (ctrlKey || metaKey) owned !== null && annotator.toggle(owned);
      else if (active !== null && altKey && label) await annotator.addSteps([region]);
      else if (active !== null && !shiftKey) await annotator.addSteps([click]);
      else if (owned !== null && !shiftKey) annotator.take(owned);
      else if (label) await annotator.addSteps([shown], true);
      else annotator.say("Click an object first; then a right click removes what does not belong to it.");
      this.pending = this.pending.filter((each) => each !== mark);
      this.stage.draw("look", "top");
    });
    return undefined;
  }

  /** @param {Point} at a long press: remove this from the object */
  hold(at) {
    const touch = this.gesture?.touch;
    this.gesture = this.held = null;
    if (touch) this.click(this.#point(at), 0, {});
    navigator.vibrate?.(10);
  }

  cancel() {
    this.polygon.cancel();
    this.gesture = this.held = null;
    this.walked = -1;
    this.levels.drop();
    this.stage.draw("look", "top");
  }

  /**
   * What turning the wheel does. The object in hand changes only where it is a region of the tree.
   * @param {boolean} other with Alt: the other way than set in the preferences @returns {"walk" | "size" | "zoom"}
   */
  wheel(other) {
    const { tool, auto, active, preferences } = this.state;
    if (tool === "brush" || tool === "eraser") return "size";
    const walks = (preferences.wheel === "level") !== other && tool === "click" && !(auto && active !== null);
    return walks ? "walk" : "zoom";
  }

  /** @param {number} direction */
  walk(direction) {
    const { image, hover } = this.stage,
      at = this.here(),
      { auto, active } = this.state;
    if (!auto || active !== null || !image?.tree || !at) return this.levels.walk(direction);
    const { x, y } = pixel(at, image.size);
    if (this.walked < 0) hover.look(image.tree, x, y, this.state.level); // in Auto no region was shown yet
    this.levels.walk(direction);
    hover.look(image.tree, x, y, this.state.level);
    this.walked = hover.node;
    return undefined;
  }
}
