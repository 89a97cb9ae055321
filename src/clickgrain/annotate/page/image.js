// One image that is open in this tab: its pixels, tree, document and masks.

import { get, getBytes, getPicture, post } from "./api.js";
import { PALETTE, colourOf, labelOf, paletteFor } from "./core/color.js";
import { decode, fromBase64 } from "./core/mask.js";
import { Owners } from "./core/owners.js";
import { Queue } from "./core/queue.js";
import { decodeTree } from "./core/tree.js";

/** @typedef {import("./core/mask.js").Bits} Bits */
/** @typedef {Record<string, any>} Step */
/**
 * @typedef {object} Thing an object of the document
 * @property {number} id @property {number | null} label @property {string | null} colour @property {boolean} locked
 * @property {boolean} hidden @property {Step[]} steps @property {string | null} mask @property {number[] | null} bbox
 * @property {number} area @property {number | null} score @property {number | null} level @property {string} source
 * @property {number} clicks @property {number} seconds
 * @property {boolean} replaced whether it was drawn on other content of the photo's file
 */
/**
 * @typedef {object} Document
 * @property {number} seq @property {string} status @property {string} note @property {string} by who set the status
 * @property {boolean} can_undo @property {boolean} can_redo
 * @property {Thing[]} objects bottom first
 */

export class OpenImage {
  /**
   * @param {number} id @param {string} tab
   * @param {{changed: (image: OpenImage) => void, saving: (waiting: number, problem: any) => void, wrote: (image: OpenImage) => void}} hooks
   */
  constructor(id, tab, hooks) {
    this.id = id;
    this.hooks = hooks;
    /** @type {any} */
    this.info = null;
    /** @type {Document | null} */
    this.document = null;
    /** @type {ImageBitmap | null} */
    this.picture = null;
    /** Colours of objects without a label, unlike the photo's. */
    this.palette = PALETTE;
    /** @type {import("./core/tree.js").Tree | null} */
    this.tree = null;
    /** Values of a deep file that are shown black and white. @type {number[] | null} */
    this.window = null;
    /** Whether it is only looked at while an object is carried on: then its regions are not made. */
    this.passing = false;
    /** @type {Error | null} */
    this.trouble = null;
    /** @type {Map<string, Bits>} */
    this.masks = new Map();
    /** @type {Owners | null} */
    this.owners = null;
    this.queue = new Queue({
      tab,
      send: (body) => post(`/api/images/${id}/actions`, { ...body, content: this.info.content }),
      took: (answer) => this.#took(answer),
      tell: (waiting, problem) => hooks.saving(waiting, problem),
    });
  }

  get size() {
    return { width: this.info.size[1], height: this.info.size[0] };
  }

  /** Fetch everything; the pixels show before the tree is there. @param {boolean} [passing] without the tree */
  async load(passing = false) {
    const path = `/api/images/${this.id}`;
    const tree = passing ? null : getBytes(`${path}/hover`);
    this.passing = passing;
    tree?.catch(() => {});
    const query = passing ? "masks=1&passing=1" : "masks=1";
    const [info, picture] = await Promise.all([get(`${path}?${query}`), getPicture(this.source())]);
    this.info = info;
    this.picture = picture;
    this.palette = paletteFor(small(picture));
    this.owners = new Owners(this.size.width, this.size.height);
    this.#took({ ...info, seq: info.document.seq });
    if (tree) this.#takeTree(tree);
    return this;
  }

  /** Where the pixels come from, in a window of the values of a deep file. @param {string} [more] of the query */
  source(more = "") {
    const values = this.window ? `low=${this.window[0]}&high=${this.window[1]}` : "";
    return `/api/images/${this.id}/picture?${[more, values].filter(Boolean).join("&")}`;
  }

  /** Look at a deep file in another window. @param {number[] | null} window */
  async look(window) {
    if (!this.info.values || String(window) === String(this.window)) return;
    this.window = window;
    const picture = await getPicture(this.source());
    if (window !== this.window) return;
    this.picture = picture;
    this.hooks.changed(this);
  }

  /** It stays on the screen. */
  arrive() {
    if (!this.passing) return;
    this.passing = false;
    this.renewTree();
  }

  /** @param {Promise<ArrayBuffer>} tree */
  async #takeTree(tree) {
    try {
      this.tree = decodeTree(await tree);
    } catch (error) {
      this.trouble = /** @type {Error} */ (error);
      if (/** @type {any} */ (error).kind === "retry") {
        setTimeout(() => this.#takeTree(getBytes(`/api/images/${this.id}/hover`)), 2000);
      }
    }
    this.hooks.changed(this);
  }

  /** The tree of another model, once it is there. */
  async renewTree() {
    await this.#takeTree(getBytes(`/api/images/${this.id}/hover`));
  }

  /** Fetch the document again, because another tab or program wrote. */
  async refresh() {
    if (this.queue.line.length) return; // what waits in line will learn of it
    const info = await get(`/api/images/${this.id}?masks=1${this.passing ? "&passing=1" : ""}`);
    if (this.queue.line.length || info.document.seq < this.queue.seq) return;
    this.#took({ ...info, seq: info.document.seq });
  }

  /**
   * Write an action.
   * @param {any} action @param {number} [active] seconds of work @returns {Promise<any>}
   */
  async act(action, active) {
    const answer = await this.queue.add(action, active);
    this.hooks.wrote(this);
    return answer;
  }

  /** @param {any} answer */
  #took(answer) {
    this.queue.seq = answer.seq;
    this.document = answer.document;
    for (const [hash, text] of Object.entries(answer.masks ?? {})) {
      if (!this.masks.has(hash)) this.masks.set(hash, decode(fromBase64(/** @type {string} */ (text))));
    }
    this.#forget();
    this.#fetchMissing();
    this.hooks.changed(this);
  }

  /** Old masks stay for a while, as undo may bring them back. */
  #forget() {
    const used = new Set(this.document?.objects.map((object) => object.mask));
    for (const hash of this.masks.keys()) {
      if (this.masks.size <= used.size + 64) return;
      if (!used.has(hash)) this.masks.delete(hash);
    }
  }

  async #fetchMissing() {
    const wanted =
      this.document?.objects.map((object) => object.mask).filter((hash) => hash && !this.masks.has(hash)) ?? [];
    if (!wanted.length) return;
    const unique = /** @type {string[]} */ ([...new Set(wanted)]);
    const got = await Promise.allSettled(unique.map((hash) => getBytes(`/api/masks/${hash}`)));
    got.forEach((each, i) => each.status === "fulfilled" && this.masks.set(unique[i], decode(each.value)));
    this.hooks.changed(this);
  }

  /** @param {number | null} id @returns {Thing | undefined} */
  object(id) {
    return this.document?.objects.find((object) => object.id === id);
  }

  /** @param {number | null} id @returns {Bits | null} */
  bits(id) {
    return this.masks.get(this.object(id)?.mask ?? "") ?? null;
  }

  /**
   * The colour an object is drawn in: its own, its label's unless every object is to have one, or one by its number.
   * @param {Thing} object @param {{labels: any[], preferences: any}} state @returns {string}
   */
  colour(object, { labels, preferences }) {
    const label = preferences.instances ? null : labelOf(object, labels);
    return object.colour ?? label?.colour ?? colourOf(object.id - 1, this.palette);
  }

  /**
   * Bring the owner map up to date.
   * @param {{labels: any[], preferences: any}} state
   * @returns {import("./core/tree.js").Rect} what looks different
   */
  paint(state) {
    const layers = (this.document?.objects ?? []).map((object) => ({
      id: object.id,
      bits: this.bits(object.id),
      colour: this.colour(object, state),
      hidden: object.hidden,
      locked: object.locked,
    }));
    return /** @type {Owners} */ (this.owners).update(layers);
  }
}

/** @param {ImageBitmap} picture @returns {Uint8ClampedArray} RGBA of 32 x 32 pixels of it */
function small(picture) {
  const canvas = Object.assign(document.createElement("canvas"), { width: 32, height: 32 }),
    context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d", { willReadFrequently: true }));
  context.drawImage(picture, 0, 0, 32, 32);
  return context.getImageData(0, 0, 32, 32).data;
}
