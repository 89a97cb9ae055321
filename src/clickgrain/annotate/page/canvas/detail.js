// Finer pixels of photos that are larger than the image the page works on, fetched for the visible part.

import { getPicture } from "../api.js";
import { toImage } from "../core/geometry.js";

const WAIT_MS = 250;
const MOST = 2048;

export class Detail {
  /** @param {() => void} arrived */
  constructor(arrived) {
    this.arrived = arrived;
    /** @type {{canvas: ImageBitmap, box: number[]} | null} */
    this.shown = null;
    this.timer = 0;
    /** @type {AbortController | null} */
    this.asking = null;
  }

  clear() {
    clearTimeout(this.timer);
    this.asking?.abort();
    this.shown = null;
  }

  /**
   * Ask for the part in sight, once the view has come to rest.
   * @param {import("../image.js").OpenImage} image @param {import("../core/geometry.js").View} view
   * @param {{width: number, height: number}} screen
   */
  want(image, view, screen) {
    const finer = image.info.native[1] / image.size.width;
    clearTimeout(this.timer);
    if (finer <= 1.01 || view.scale * window.devicePixelRatio <= 1.2) return;
    this.timer = setTimeout(() => this.#fetch(image, view, screen), WAIT_MS);
  }

  /** @param {import("../image.js").OpenImage} image @param {any} view @param {any} screen */
  async #fetch(image, view, screen) {
    const a = toImage(view, { x: 0, y: 0 }),
      b = toImage(view, { x: screen.width, y: screen.height });
    const { width, height } = image.size;
    const box = [
      Math.max(Math.floor(a.x), 0),
      Math.max(Math.floor(a.y), 0),
      Math.min(Math.ceil(b.x), width),
      Math.min(Math.ceil(b.y), height),
    ];
    if (box[2] <= box[0] || box[3] <= box[1]) return;
    this.asking?.abort();
    this.asking = new AbortController();
    try {
      const canvas = await getPicture(
        image.source(`box=${box.join(",")}&max=${MOST}`),
        this.asking.signal,
      );
      this.shown = { canvas, box };
      this.arrived();
    } catch {
      // the pixels shown so far stay; the poll tells when the server is away
    }
  }
}
