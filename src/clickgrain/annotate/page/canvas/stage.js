// The two canvases, the view on the image, and when to draw what.

import { Overlay, Partition, drawBase } from "./base.js";
import { Detail } from "./detail.js";
import { Gestures } from "./gestures.js";
import { Guess } from "./guess.js";
import { Hover } from "./hover.js";
import { Tools } from "./tools.js";
import { drawTop } from "./top.js";
import { byId } from "../dom.js";
import { keepView, projectKey, recall } from "../preferences.js";
import { centred, fit, inside, pan, shown, toImage, toScreen, zoomAt } from "../core/geometry.js";

/** @param {number} radius @param {number} factor @returns {number} of the brush, in pixels of the image */
export function resized(radius, factor) {
  return Math.min(Math.max(radius * factor, 0.5), 200);
}

export class Stage {
  /**
   * @param {import("../core/store.js").Store<import("../app.js").State>} store
   * @param {import("../annotator.js").Annotator} annotator
   */
  constructor(store, annotator) {
    this.store = store;
    this.annotator = annotator;
    this.element = byId("stage");
    this.base = byId("base").getContext("2d");
    this.top = byId("top").getContext("2d");
    this.screen = { width: 1, height: 1 };
    this.ratio = 1;
    /** @type {import("../core/geometry.js").View} */
    this.view = { scale: 1, x: 0, y: 0 };
    this.fitted = true;
    this.keeping = 0;
    /** @type {import("../image.js").OpenImage | null} the image before this one */
    this.shown = null;
    /** @type {import("../core/geometry.js").Point | null} pointer, screen */
    this.pointer = null;
    this.byKeyboard = false;
    this.space = false;
    this.shift = false;
    this.alt = false;
    /** Whether the image is seen without anything on it, while a key is held. */
    this.bare = false;
    /** Whether the preview is of a negative click, while a key is held. */
    this.negates = false;
    /** Time stamp of the pointer event that the next frame answers. */
    this.since = 0;
    /** @type {((since: number) => void) | null} the benchmark listens here */
    this.measured = null;
    this.hover = new Hover();
    this.guess = new Guess(() => this.draw("top"));
    this.overlay = new Overlay();
    this.partition = new Partition();
    this.detail = new Detail(() => this.draw("base"));
    this.tools = new Tools(this);
    annotator.settle = () => this.tools.levels.settle();
    this.dirty = new Set();
    this.gestures = new Gestures(this.element, this.#handlers());
    new ResizeObserver(() => this.#resize()).observe(this.element);
    this.#resize();
    store.on(["image"], () => this.#newImage());
    store.on(["revision", "labels", "preferences", "whole", "tones"], () => this.draw("base", "top"));
    store.on(["level"], ({ whole }) => (this.look(), this.draw("top", ...(whole ? ["base"] : []))));
    const shown = ["active", "selection", "lit", "same", "offers", "offered", "tool", "radius", "polarity", "auto"];
    store.on(/** @type {any} */ (shown), () => (this.look(), this.draw("top")));
  }

  #handlers() {
    const { tools, store } = this;
    return {
      hover: (/** @type {any} */ at, /** @type {any} */ event) => this.#point(at, event),
      leave: () => (store.set({ lit: null }), this.point(null)),
      press: (/** @type {any} */ at, /** @type {any} */ event) => (this.#point(at, event), tools.press(at, event)),
      drag: (/** @type {any} */ at, /** @type {any} */ event) => (this.#point(at, event), tools.drag(at)),
      release: (/** @type {any} */ at, /** @type {any} */ event, /** @type {boolean} */ moved) =>
        tools.release(at, event, moved),
      cancel: () => tools.cancel(),
      hold: (/** @type {any} */ at) => tools.hold(at),
      pan: (/** @type {number} */ dx, /** @type {number} */ dy) => this.pan(dx, dy),
      zoom: (/** @type {number} */ factor, /** @type {any} */ at) => this.zoom(factor, at),
      walk: (/** @type {number} */ direction, /** @type {any} */ at) => {
        this.point(at);
        this.annotator.turn(() => tools.walk(direction), false);
      },
      size: (/** @type {number} */ direction) => store.set({ radius: resized(store.state.radius, 1.25 ** direction) }),
      moves: (/** @type {any} */ event) => event.button === 0 && (this.space || store.state.tool === "hand"),
      wheel: (/** @type {boolean} */ other) => tools.wheel(other),
    };
  }

  get image() {
    return this.store.state.image;
  }

  /** XYXY pixels on the screen, if the image is enlarged: a first click is answered from them. */
  get seen() {
    return this.image && shown(this.view, this.image.size, this.screen);
  }

  #newImage() {
    clearTimeout(this.keeping);
    this.hover.clear();
    this.tools.cancel();
    this.tools.pending = [];
    this.detail.clear();
    this.byKeyboard = false;
    this.#startView();
    this.look();
  }

  /** As the image was left, or as near as the last one of its size, if that is wanted; else all of it. */
  #startView() {
    const { image, shown, view } = this;
    this.shown = image;
    if (!image) return this.draw("base", "top");
    const { preferences } = this.store.state,
      { width, height } = image.size,
      same = shown && shown.size.width === width && shown.size.height === height;
    if (preferences.keepZoom && same && !this.fitted) return this.#setView(view);
    const left = recall(projectKey(this.store.state)).views?.[image.id];
    if (!left || preferences.keepZoom) return this.fit();
    const middle = centred(image.size, this.screen, left.scale);
    const by = { x: (width / 2 - left.x) * left.scale, y: (height / 2 - left.y) * left.scale };
    return this.#setView(pan(middle, by.x, by.y, image.size, this.screen));
  }

  #keepView() {
    const { image, view, screen, fitted } = this,
      middle = toImage(view, { x: screen.width / 2, y: screen.height / 2 });
    if (image) keepView(projectKey(this.store.state), image.id, fitted ? null : { scale: view.scale, ...middle });
  }

  #resize() {
    const { clientWidth: width, clientHeight: height } = this.element;
    if (!width || !height) return;
    const moved = { x: (width - this.screen.width) / 2, y: (height - this.screen.height) / 2 };
    this.screen = { width, height };
    this.ratio = Math.min(window.devicePixelRatio || 1, 2);
    for (const { canvas } of [this.base, this.top]) {
      canvas.width = Math.round(width * this.ratio);
      canvas.height = Math.round(height * this.ratio);
    }
    if (this.fitted && this.image) this.fit();
    else if (this.image) this.pan(moved.x, moved.y);
    // at once: a canvas that was resized is blank until it is drawn
    this.#paint(["base", "top"]);
  }

  /** @param {import("../core/geometry.js").View} view @param {boolean} [fitted] */
  #setView(view, fitted = false) {
    this.view = view;
    this.fitted = fitted;
    clearTimeout(this.keeping);
    this.keeping = setTimeout(() => this.#keepView(), 300);
    if (this.image) this.detail.want(this.image, view, this.screen);
    this.look();
    this.draw("base", "top");
    this.element.dispatchEvent(new CustomEvent("view"));
  }

  fit() {
    if (this.image) this.#setView(fit(this.image.size, this.screen), true);
  }

  actual() {
    if (this.image) this.#setView(centred(this.image.size, this.screen, 1));
  }

  /** @param {number} dx @param {number} dy */
  pan(dx, dy) {
    if (this.image) this.#setView(pan(this.view, dx, dy, this.image.size, this.screen));
  }

  /** @param {number} factor @param {import("../core/geometry.js").Point} [at] */
  zoom(factor, at = this.pointer ?? { x: this.screen.width / 2, y: this.screen.height / 2 }) {
    if (this.image) this.#setView(zoomAt(this.view, factor, at, this.image.size, this.screen));
  }

  /** @param {any} at @param {PointerEvent} event */
  #point(at, event) {
    this.byKeyboard = false;
    this.shift = event.shiftKey;
    this.alt = event.altKey;
    this.point(at, event.timeStamp);
  }

  /** @param {import("../core/geometry.js").Point | null} at @param {number} [since] when the event happened, for the benchmark */
  point(at, since) {
    this.pointer = at;
    if (since && !this.since) this.since = since;
    this.draw("look", "top");
  }

  /** Move the keyboard's pointer by screen pixels. */
  nudge(/** @type {number} */ dx, /** @type {number} */ dy) {
    if (!this.image) return;
    const start =
      this.byKeyboard && this.pointer
        ? this.pointer
        : ((this.#overImage() ? this.pointer : null) ??
          toScreen(this.view, { x: this.image.size.width / 2, y: this.image.size.height / 2 }));
    this.byKeyboard = true;
    const clamp = (/** @type {number} */ value, /** @type {number} */ room) => Math.min(Math.max(value, 2), room - 2);
    this.point({ x: clamp(start.x + dx, this.screen.width), y: clamp(start.y + dy, this.screen.height) });
  }

  #overImage() {
    return this.pointer !== null && this.image !== null && inside(toImage(this.view, this.pointer), this.image.size);
  }

  /** Find the region under the pointer again. */
  look() {
    this.tools.look();
  }

  /** @param {...string} parts "base", "top", "look" */
  draw(...parts) {
    if (!this.dirty.size) requestAnimationFrame(() => this.#frame());
    for (const part of parts) this.dirty.add(part);
  }

  #frame() {
    const parts = [...this.dirty];
    this.dirty.clear();
    if (parts.includes("look")) this.look();
    this.#paint(parts);
    if (this.since) this.measured?.(this.since);
    this.since = 0;
  }

  /** @param {string[]} parts */
  #paint(parts) {
    if (parts.includes("base")) this.#paintBase();
    if (parts.includes("top")) drawTop(this);
  }

  #paintBase() {
    const { image } = this,
      { whole, level, revision, tones } = this.store.state;
    if (!image) return this.base.clearRect(0, 0, this.base.canvas.width, this.base.canvas.height);
    this.overlay.update(image, this.store.state);
    const layers = this.bare ? [] : [this.overlay.canvas];
    if (whole && !this.bare && this.partition.update(image, level, revision)) layers.unshift(this.partition.canvas);
    drawBase(this.base, this.view, this.ratio, image, layers, this.detail.shown, tones);
    this.element.dispatchEvent(new CustomEvent("painted"));
    return undefined;
  }
}
