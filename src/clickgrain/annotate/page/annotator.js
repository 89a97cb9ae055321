// What the annotator does to objects, as actions for the server.

import { ApiError, get, post } from "./api.js";
import { decode, fromBase64 } from "./core/mask.js";
import { Queue } from "./core/queue.js";

/** @typedef {import("./image.js").OpenImage} OpenImage */
/** @typedef {Record<string, any>} Step */

/** Longer pauses than this do not count as work on an object. */
const IDLE = 15;

export class Annotator {
  /**
   * @param {import("./core/store.js").Store<import("./app.js").State>} store
   * @param {import("./gallery.js").Gallery} gallery
   */
  constructor(store, gallery) {
    this.store = store;
    this.gallery = gallery;
    this.last = performance.now();
    /** What was just said, for screen readers and the status line. */
    this.say = (/** @type {string} */ _text) => {};
    this.project = new Queue({
      tab: gallery.tab,
      send: (body) => post("/api/project/actions", body),
      took: (answer) => this.takeProject(answer.document),
      tell: (waiting, problem) => gallery.report("project", waiting, problem),
    });
  }

  /** @param {any} document of the project */
  takeProject(document) {
    this.project.seq = document.seq;
    const { label } = this.store.state;
    const there = document.labels.some((/** @type {any} */ each) => each.id === label);
    this.store.set({ projectDocument: document, labels: document.labels, label: there ? label : null });
  }

  async refreshProject() {
    const state = await get("/api/state");
    if (!this.project.line.length) this.takeProject(state.document);
  }

  /** Seconds since the last action, as far as they look like work. */
  #active() {
    const now = performance.now(),
      seconds = (now - this.last) / 1000;
    this.last = now;
    return Math.round(10 * Math.min(seconds, IDLE)) / 10;
  }

  /**
   * Write an action of the open image; a refusal is shown and answered with null.
   * @param {any} action @returns {Promise<any>}
   */
  async act(action) {
    const { image } = this.store.state;
    if (!image) return null;
    try {
      return await image.act(action, this.#active());
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      this.say(error.kind === "conflict" ? "Another tab has changed this image. Look, then try again." : error.message);
      return null;
    }
  }

  /**
   * Give steps to the object in hand, or to a new one.
   * @param {Step[]} steps @param {boolean} [fresh] a new object in any case
   */
  async addSteps(steps, fresh = false) {
    const { store } = this;
    const { active, label, image } = store.state;
    const object = fresh ? null : active;
    store.set({ offers: null });
    const action = { kind: "object.add_steps", object, steps, ...(object === null ? { label } : {}) };
    const answer = await this.act(action);
    if (!answer || store.state.image !== image) return;
    const id = answer.object ?? object;
    if (image?.object(id)) store.set({ active: id, selection: [id] });
    if (answer.alternatives) this.#offer(id);
  }

  /** Ask for the alternatives of an object and show them. */
  async #offer(/** @type {number} */ id) {
    const { image } = this.store.state;
    const { seq, alternatives } = await get(`/api/images/${image?.id}/objects/${id}/alternatives`).catch(() => ({}));
    if (!alternatives?.length || seq !== image?.queue.seq || this.store.state.active !== id) return;
    const offers = alternatives
      .slice(0, 3)
      .map((/** @type {any} */ each) => ({ ...each, bits: decode(fromBase64(each.data)) }));
    this.store.set({ offers });
    const many = offers.length > 1;
    this.say(many ? `${offers.length} other outlines: keys 1 to ${offers.length}` : "Another outline: key 1");
  }

  /** @param {number} number of the outline on offer, from 0 */
  choose(number) {
    if (this.store.state.offers?.[number]) this.addSteps([{ type: "choose", alternative: number }]);
  }

  /** @param {number} place of the step to take away from the object in hand */
  async dropStep(place) {
    const object = this.#inHand();
    if (!object) return;
    const steps = object.steps.filter((_, i) => i !== place);
    this.store.set({ offers: null });
    if (steps.length) await this.act({ kind: "object.set_steps", object: object.id, steps });
    else await this.remove([object.id]);
  }

  /** @param {number} place @param {Step} step that replaces the one at `place` */
  changeStep(place, step) {
    const object = this.#inHand();
    if (!object) return undefined;
    const steps = object.steps.map((each, i) => (i === place ? step : each));
    this.store.set({ offers: null });
    return this.act({ kind: "object.set_steps", object: object.id, steps });
  }

  #inHand() {
    const { image, active } = this.store.state;
    return image?.object(active);
  }

  /** @param {number[]} ids @param {any} changes label, colour, locked, hidden */
  edit(ids, changes) {
    return ids.length ? this.act({ kind: "object.edit", objects: ids, ...changes }) : undefined;
  }

  /** @param {number[]} ids */
  remove(ids) {
    return ids.length ? this.act({ kind: "object.delete", objects: ids }) : undefined;
  }

  /** @param {number} id @param {number} by places up (towards the top) */
  async move(id, by) {
    const objects = this.store.state.image?.document?.objects ?? [];
    const to = objects.findIndex((object) => object.id === id) + by;
    if (to >= 0 && to < objects.length) await this.act({ kind: "object.move", object: id, to });
  }

  async merge() {
    const ids = this.store.state.selection;
    if (ids.length < 2) return this.say("Choose two or more objects to merge: Ctrl and click, here or in the list.");
    const answer = await this.act({ kind: "object.merge", objects: ids });
    if (answer) this.take(ids[0]);
    return undefined;
  }

  split() {
    const { selection } = this.store.state;
    if (selection.length !== 1) return this.say("Choose one object to split.");
    return this.act({ kind: "object.split", object: selection[0] });
  }

  /** @param {number | null} id take an object in hand, or let go of it */
  take(id) {
    this.store.set({ active: id, selection: id === null ? [] : [id], offers: null });
  }

  /** @param {number} id add to or take from the selection */
  toggle(id) {
    const { selection } = this.store.state;
    const next = selection.includes(id) ? selection.filter((each) => each !== id) : [...selection, id];
    this.store.set({ selection: next, active: next.length === 1 ? next[0] : null, offers: null });
  }

  /** @param {"undo" | "redo"} kind */
  async history(kind) {
    const { document } = this.store.state.image ?? {};
    if (!document?.[kind === "undo" ? "can_undo" : "can_redo"]) return this.say(`Nothing to ${kind}.`);
    this.store.set({ offers: null });
    const answer = await this.act({ kind });
    const { image } = this.store.state;
    if (answer?.object && image?.object(answer.object)) this.take(answer.object);
    return undefined;
  }

  /** @param {string} status */
  setStatus(status) {
    return this.act({ kind: "status", status });
  }

  /** @param {any} action on labels and rules @returns {Promise<any>} */
  async changeProject(action) {
    try {
      return await this.project.add(action);
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      this.say(error.message);
      return null;
    }
  }
}
