// The two canvases, the view on the image, and when to draw what.

import { Overlay, Partition, drawBase } from "./base.js";
import { Detail } from "./detail.js";
import { Gestures } from "./gestures.js";
import { Guess } from "./guess.js";
import { Hover } from "./hover.js";
import { Tools } from "./tools.js";
import { drawTop } from "./top.js";
import { byId } from "../dom.js";
import { centred, fit, inside, pan, toImage, toScreen, zoomAt } from "../core/geometry.js";

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
    /** @type {import("../core/geometry.js").Point | null} pointer, screen */
    this.pointer = null;
    this.byKeyboard = false;
    this.space = false;
    this.shift = false;
    this.alt = false;
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
    this.dirty = new Set();
    this.gestures = new Gestures(this.element, this.#handlers());
    new ResizeObserver(() => this.#resize()).observe(this.element);
    this.#resize();
    store.on(["image"], () => this.#newImage());
    store.on(["revision", "labels", "preferences", "whole"], () => this.draw("base", "top"));
    store.on(["level"], ({ whole }) => (this.look(), this.draw("top", ...(whole ? ["base"] : []))));
    store.on(["active", "selection", "offers", "tool", "radius", "polarity", "auto"], () => (this.look(), this.draw("top")));
  }

  #handlers() {
    const { tools, store } = this;
    return {
      hover: (/** @type {any} */ at, /** @type {any} */ event) => this.#point(at, event),
      leave: () => this.point(null),
      press: (/** @type {any} */ at, /** @type {any} */ event) => (this.#point(at, event), tools.press(at, event)),
      drag: (/** @type {any} */ at, /** @type {any} */ event) => (this.#point(at, event), tools.drag(at)),
      release: (/** @type {any} */ at, /** @type {any} */ event, /** @type {boolean} */ moved) =>
        tools.release(at, event, moved),
      cancel: () => tools.cancel(),
      hold: (/** @type {any} */ at) => tools.hold(at),
      pan: (/** @type {number} */ dx, /** @type {number} */ dy) => this.pan(dx, dy),
      zoom: (/** @type {number} */ factor, /** @type {any} */ at) => this.zoom(factor, at),
      walk: (/** @type {number} */ direction, /** @type {any} */ at) => (this.point(at), tools.walk(direction)),
      moves: (/** @type {any} */ event) => event.button === 0 && (this.space || store.state.tool === "hand"),
      wheel: () => store.state.preferences.wheel,
    };
  }

  get image() {
    return this.store.state.image;
  }

  #newImage() {
    this.hover.clear();
    this.tools.cancel();
    this.detail.clear();
    this.byKeyboard = false;
    if (this.image) this.fit();
    this.look();
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
      { labels, preferences, whole, level, revision } = this.store.state;
    if (!image) return this.base.clearRect(0, 0, this.base.canvas.width, this.base.canvas.height);
    this.overlay.update(image, labels, preferences.opacity, null);
    const layers = [this.overlay.canvas];
    if (whole && this.partition.update(image, level, revision)) layers.unshift(this.partition.canvas);
    drawBase(this.base, this.view, this.ratio, image, layers, this.detail.shown);
    this.element.dispatchEvent(new CustomEvent("painted"));
    return undefined;
  }
}
