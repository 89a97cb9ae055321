// What a click would do where the pointer rests: take a thing in Auto, or add to the object in hand, or take away from it.

import { ApiError, get } from "../api.js";
import { NEGATIVE, POSITIVE } from "./marks.js";
import { word } from "../core/color.js";
import { around, decode, fromBase64, holds } from "../core/mask.js";

const REST_MS = 30;
const ADDED = word(POSITIVE, 130),
  TAKEN = word(NEGATIVE, 130);

export class Guess {
  /** @param {() => void} arrived */
  constructor(arrived) {
    this.arrived = arrived;
    /** @type {import("../core/mask.js").Bits | null} */
    this.shown = null;
    /** @type {import("../core/tree.js").Tree | null} of the image and the model that were asked */
    this.tree = null;
    /** What changes in the object in hand, and where that lies. @type {{canvas: HTMLCanvasElement, x: number, y: number} | null} */
    this.change = null;
    this.label = 1;
    this.place = "";
    this.timer = 0;
    /** @type {AbortController | null} */
    this.asking = null;
  }

  clear() {
    this.#stop();
    this.shown = this.change = null;
    this.place = "";
  }

  #stop() {
    clearTimeout(this.timer);
    this.asking?.abort();
  }

  /**
   * Show what a click would do, or nothing. Without an object in hand, what is shown stays until the next answer is
   * there, while the pointer stays inside it.
   * @param {import("../image.js").OpenImage | null} image @param {import("../core/geometry.js").Point | null} at pixel
   * @param {number | null} [object] in hand @param {number} [label] 1 for a positive click
   * @param {number | null} [name] number of the label that a new object would get
   * @param {number[] | null} [view] XYXY pixels on the screen, if the image is enlarged
   */
  look(image, at, object = null, label = 1, name = null, view = null) {
    if (!image?.tree || !at || image.tree !== this.tree) this.clear();
    this.tree = image?.tree ?? null;
    if (!image?.tree || !at) return;
    const place = `${at.x} ${at.y} ${object} ${label} ${name} ${view} ${image.object(object)?.mask}`;
    if (place === this.place) return;
    this.place = place;
    this.#stop();
    if (object !== null || this.change || !holds(this.shown, at.x, at.y)) this.shown = this.change = null;
    this.timer = setTimeout(() => this.#ask(image, at, object, label, name, view), REST_MS);
  }

  /**
   * @param {import("../image.js").OpenImage} image @param {import("../core/geometry.js").Point} at
   * @param {number | null} object @param {number} label @param {number | null} name @param {number[] | null} view
   */
  async #ask(image, { x, y }, object, label, name, view) {
    const asking = (this.asking = new AbortController()),
      fresh = [...(name === null ? [] : [`&name=${name}`]), ...(view ?? []).map((side) => `&view=${side}`)].join(""),
      what = object === null ? fresh : `&object=${object}&label=${label}`;
    try {
      const { data } = await get(`/api/images/${image.id}/preview?x=${x}&y=${y}${what}`, asking.signal);
      if (asking.signal.aborted) return;
      this.shown = decode(fromBase64(data));
      this.label = label;
      const before = image.bits(object);
      this.change = before && difference(before, this.shown);
      this.arrived();
    } catch (error) {
      // a pointer that went on, or a server that is away, which the poll tells
      if (!(error instanceof ApiError) && /** @type {any} */ (error).name !== "AbortError") throw error;
    }
  }
}

/**
 * Pixels that come, and those that go.
 * @param {import("../core/mask.js").Bits} before @param {import("../core/mask.js").Bits} after
 */
function difference(before, after) {
  const { x, y, width, height } = around(before.box, after.box),
    canvas = document.createElement("canvas");
  if (!width || !height) return null;
  Object.assign(canvas, { width, height });
  const pixels = new ImageData(width, height),
    words = new Uint32Array(pixels.data.buffer);
  for (let row = y, i = 0; row < y + height; row++)
    for (let column = x; column < x + width; column++, i++) {
      const was = holds(before, column, row);
      if (was !== holds(after, column, row)) words[i] = was ? TAKEN : ADDED;
    }
  canvas.getContext("2d")?.putImageData(pixels, 0, 0);
  return { canvas, x, y };
}
