// In Auto a click chooses its region itself: what it would take, asked for where the pointer rests.

import { ApiError, get } from "../api.js";
import { decode, fromBase64, holds } from "../core/mask.js";

const REST_MS = 120;

export class Guess {
  /** @param {() => void} arrived */
  constructor(arrived) {
    this.arrived = arrived;
    /** @type {import("../core/mask.js").Bits | null} */
    this.shown = null;
    /** @type {import("../core/tree.js").Tree | null} of the image and the model that were asked */
    this.tree = null;
    this.place = "";
    this.timer = 0;
    /** @type {AbortController | null} */
    this.asking = null;
  }

  clear() {
    this.#stop();
    this.shown = null;
    this.place = "";
  }

  #stop() {
    clearTimeout(this.timer);
    this.asking?.abort();
  }

  /**
   * Show what a click would take, or nothing. While the pointer stays inside what is shown, that stays until the next
   * answer is there.
   * @param {import("../image.js").OpenImage | null} image @param {import("../core/geometry.js").Point | null} at pixel
   */
  look(image, at) {
    if (!image?.tree || !at || image.tree !== this.tree) this.clear();
    this.tree = image?.tree ?? null;
    if (!image?.tree || !at || this.place === `${at.x} ${at.y}`) return;
    this.place = `${at.x} ${at.y}`;
    this.#stop();
    if (!holds(this.shown, at.x, at.y)) this.shown = null;
    this.timer = setTimeout(() => this.#ask(image.id, at), REST_MS);
  }

  /** @param {number} id @param {import("../core/geometry.js").Point} at */
  async #ask(id, { x, y }) {
    const asking = (this.asking = new AbortController());
    try {
      const { data } = await get(`/api/images/${id}/preview?x=${x}&y=${y}`, asking.signal);
      if (asking.signal.aborted) return;
      this.shown = decode(fromBase64(data));
      this.arrived();
    } catch (error) {
      // a pointer that went on, or a server that is away, which the poll tells
      if (!(error instanceof ApiError) && /** @type {any} */ (error).name !== "AbortError") throw error;
    }
  }
}
