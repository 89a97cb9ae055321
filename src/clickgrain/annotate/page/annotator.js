// What the annotator does to objects, as actions for the server.

import { ApiError, get, post } from "./api.js";
import { decode, fromBase64 } from "./core/mask.js";
import { Queue } from "./core/queue.js";
import { TOUCH } from "./dom.js";

/** @typedef {import("./image.js").OpenImage} OpenImage */
/** @typedef {Record<string, any>} Step */
/** @typedef {{image: number, seq: number, objects: number}} Found */
/** @typedef {{image?: number, project?: true, found?: Found[], how?: string}} Place */

/** Longer pauses than this do not count as work on an object. */
const IDLE = 15;
const HISTORY = ["undo", "redo"];

/**
 * Where a step is now: others may have gone since it was seen.
 * @param {import("./image.js").Thing | undefined} object @param {Step} step @returns {number} -1 where it is gone
 */
function placeOf(object, step) {
  const same = JSON.stringify(step);
  return object?.steps.findLastIndex((each) => JSON.stringify(each) === same) ?? -1;
}

export class Annotator {
  /**
   * @param {import("./core/store.js").Store<import("./app.js").State>} store
   * @param {import("./gallery.js").Gallery} gallery
   */
  constructor(store, gallery) {
    this.store = store;
    this.gallery = gallery;
    this.last = performance.now();
    /** What the user did and has not taken effect yet, in order. @type {(() => any)[]} */
    this.turns = [];
    this.busy = false;
    /** Takes a level that is being tried; the stage sets it. @type {() => Promise<any> | undefined} */
    this.settle = () => undefined;
    /** Where this tab's last actions went, for undo: an image, the project, or images of a search. @type {Place[]} */
    this.did = [];
    /** @type {Place[]} */
    this.undone = [];
    /** What was just said, for screen readers and the status line. */
    this.say = (/** @type {string} */ _text) => {};
    /** What the outlines on offer are for. */
    this.offering = "";
    store.on(["active", "revision"], () => this.offer());
    this.project = new Queue({
      tab: gallery.tab,
      send: (body) => post("/api/project/actions", body),
      took: (answer) => this.takeProject(answer.document),
      tell: (waiting, problem) => gallery.report("project", waiting, problem),
    });
  }

  /**
   * Do something after all that the user did before it, at once where nothing is waited for: a click counts for the
   * object that is in hand when its turn comes, however long the server takes.
   * @param {() => any} work @param {boolean} [settles] whether a level that is being tried is taken first
   */
  turn(work, settles = true) {
    this.turns.push(settles ? () => this.settle()?.then(work) ?? work() : work);
    if (!this.busy) this.#runTurns();
    else this.gallery.report("turns", this.turns.length - 1, null);
  }

  async #runTurns() {
    this.busy = true;
    while (this.turns.length) {
      try {
        const answer = this.turns[0]();
        if (answer instanceof Promise) await answer;
      } catch (error) {
        // it must not stop what comes after it
        if (error instanceof ApiError) this.say(error.message);
        else reportError(error);
      }
      this.turns.shift();
      const told = this.gallery.lines.get("turns")?.waiting;
      if (told) this.gallery.report("turns", Math.max(this.turns.length - 1, 0), null);
    }
    this.busy = false;
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
      const answer = await image.act(action, this.#active());
      if (!HISTORY.includes(action.kind)) this.remember({ image: image.id });
      if (answer.removed) this.say(`Object ${answer.removed} has no pixels left and was removed. Undo brings it back.`);
      return answer;
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
    const { active, label, image, carry } = store.state;
    const object = fresh ? null : active;
    // where a track was lost, the next object takes it up
    const track = carry?.result?.lost && carry.result.image === image?.id ? carry.result.track : null;
    const about = track === null ? { label } : { label: carry.result.label, track };
    const action = { kind: "object.add_steps", object, steps, ...(object === null ? about : {}) };
    const answer = await this.act(action);
    if (!answer || store.state.image !== image) return;
    const id = answer.object ?? object;
    if (image?.object(id)) store.set({ active: id, selection: [id] });
  }

  /**
   * Ask for the other readings of the one click that made the object in hand, however it came into hand: by the click,
   * by undo, or from the list.
   */
  async offer() {
    const { image, active } = this.store.state,
      object = image?.object(active),
      key = object && !object.locked ? `${image?.id} ${active} ${JSON.stringify(object.steps)}` : "";
    if (key === this.offering) return;
    this.offering = key;
    this.store.set({ offers: null, offered: null });
    const [first, ...more] = object?.steps ?? [];
    if (!key || more.length || first.type !== "click") return;
    const { alternatives } = await get(`/api/images/${image?.id}/objects/${active}/alternatives`).catch(() => ({}));
    if (!alternatives?.length || this.offering !== key) return;
    const offers = alternatives
      .slice(0, 3)
      .map((/** @type {any} */ each) => ({ ...each, bits: decode(fromBase64(each.data)) }));
    this.store.set({ offers });
    const many = offers.length > 1;
    const how = TOUCH ? "below the image" : many ? `Shift and 1 to ${offers.length}` : "Shift and 1";
    this.say(`${many ? `${offers.length} other outlines` : "Another outline"}: ${how}`);
  }

  /** @param {number} number of the outline on offer, from 0 */
  choose(number) {
    const there = this.store.state.offers?.[number];
    return there ? this.addSteps([{ type: "choose", alternative: number }]) : undefined;
  }

  /** @param {Step} step to take away from the object in hand */
  async dropStep(step) {
    const object = this.#inHand(),
      place = placeOf(object, step);
    if (!object || place < 0) return;
    const steps = object.steps.filter((_, i) => i !== place);
    if (steps.length) await this.act({ kind: "object.set_steps", object: object.id, steps });
    else await this.remove([object.id]);
  }

  /** @param {Step} old @param {Step} step that replaces it */
  async changeStep(old, step) {
    const object = this.#inHand(),
      place = placeOf(object, old);
    if (!object || place < 0) return;
    await this.act({ kind: "object.set_steps", object: object.id, steps: object.steps.with(place, step) });
  }

  #inHand() {
    const { image, active } = this.store.state;
    return image?.object(active);
  }

  /** @param {number[]} ids @param {any} changes label, colour, locked, hidden */
  edit(ids, changes) {
    return ids.length ? this.act({ kind: "object.edit", objects: ids, ...changes }) : undefined;
  }

  /** To the object in hand, or all chosen ones, and to new ones from now on. @param {number | null} id of a label */
  giveLabel(id) {
    const { selection, image, labels } = this.store.state;
    this.store.set({ label: id });
    this.say(`Label: ${labels.find((each) => each.id === id)?.name ?? "none"}`);
    return this.edit(
      selection.filter((each) => image?.object(each)?.label !== id),
      { label: id },
    );
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
    this.store.set({ active: id, selection: id === null ? [] : [id] });
  }

  /** @param {number} id add to or take from the selection */
  toggle(id) {
    const { selection } = this.store.state;
    const next = selection.includes(id) ? selection.filter((each) => each !== id) : [...selection, id];
    this.store.set({ selection: next, active: next.length === 1 ? next[0] : null });
  }

  /** @param {number} id choose all from the one that was chosen last to this one, in their order */
  range(id) {
    const { selection, image } = this.store.state,
      ids = image?.document?.objects.map((object) => object.id) ?? [],
      ends = [ids.indexOf(selection.at(-1) ?? id), ids.indexOf(id)].sort((a, b) => a - b),
      between = ids.slice(ends[0], ends[1] + 1).filter((each) => !selection.includes(each));
    this.store.set({ selection: [...selection, ...between], active: null });
  }

  /** @param {Place} place of an action of this tab */
  remember(place) {
    this.did.push(place);
    this.undone = [];
    this.store.set({ moves: { undo: true, redo: false } });
  }

  /**
   * Take back, or repeat, what this tab did last, wherever that was; what was done before the page was opened is taken
   * back in the open image.
   * @param {"undo" | "redo"} kind
   */
  async history(kind) {
    const [from, to] = kind === "undo" ? [this.did, this.undone] : [this.undone, this.did];
    const place = from.pop() ?? { image: this.store.state.image?.id };
    if (place.found) place.found = await this.#historyOfFound(kind, place.found, place.how);
    else if (place.project) await this.#historyOfLabels(kind);
    else {
      if (place.image !== this.store.state.image?.id) await this.gallery.show(/** @type {number} */ (place.image));
      const { image } = this.store.state;
      if (!image?.document?.[`can_${kind}`]) return this.say(`Nothing to ${kind}.`);
      const answer = await this.act({ kind });
      if (!answer) return undefined;
      if (answer.object && image.object(answer.object)) this.take(answer.object);
    }
    to.push(place);
    this.store.set({ moves: { undo: this.did.length > 0, redo: this.undone.length > 0 } });
    return undefined;
  }

  async #historyOfLabels(/** @type {string} */ kind) {
    const before = this.store.state.labels.length;
    if (!(await this.changeProject({ kind }))) return false;
    const by = this.store.state.labels.length - before;
    this.say(by ? `A label was ${by > 0 ? "brought back" : "taken away"}.` : "Labels are as they were.");
    return true;
  }

  /** Take back, or repeat, the last change to labels, whatever came after it. @param {"undo" | "redo"} kind */
  async historyOfLabelsAlone(kind) {
    if (!(await this.#historyOfLabels(kind))) return;
    const [from, to] = kind === "undo" ? [this.did, this.undone] : [this.undone, this.did];
    const at = from.findLastIndex((place) => place.project);
    if (at >= 0) from.splice(at, 1);
    to.push({ project: true });
    this.store.set({ moves: { undo: this.did.length > 0, redo: this.undone.length > 0 } });
  }

  /** Mark the image that cannot be opened. */
  async skip() {
    const place = await this.gallery.skipBroken();
    if (place) this.remember({ found: [place], how: "skipped" });
  }

  /**
   * Objects found in other images, newest first; an image that was changed since keeps its object.
   * @param {string} kind @param {Found[]} found @param {string} [how] they were made @returns {Promise<Found[]>} what to move next time
   */
  async #historyOfFound(kind, found, how = "found") {
    const moved = [];
    for (const { image, seq, objects } of [...found].reverse()) {
      const body = { seq, client: this.gallery.tab, active: 0, action: { kind, of: seq } };
      try {
        const answer = await post(`/api/images/${image}/actions`, body);
        moved.push({ image, seq, objects });
        this.gallery.heard({ image, seq: answer.seq });
      } catch (error) {
        if (!(error instanceof ApiError)) throw error;
      }
    }
    if (how === "skipped") {
      if (moved.length) await this.gallery.show(moved[0].image);
      this.say(kind === "undo" ? "This image is no longer marked as skipped." : "This image is marked as skipped again.");
      return moved;
    }
    const sum = (/** @type {Found[]} */ all) => all.reduce((so_far, { objects }) => so_far + objects, 0),
      kept = sum(found) - sum(moved),
      words = kind === "undo" ? "taken back" : "brought back";
    this.say(`${sum(moved)} ${how} objects ${words}${kept ? `, ${kept} kept: their images were changed since` : ""}.`);
    return moved;
  }

  /** @param {string} status @param {string} [note] what is to be done where the image is sent back */
  setStatus(status, note) {
    return this.act({ kind: "status", status, ...(note && { note }) });
  }

  /** @param {any} action on labels and rules @returns {Promise<any>} */
  async changeProject(action) {
    try {
      const answer = await this.project.add(action);
      if (!HISTORY.includes(action.kind)) this.remember({ project: true });
      return answer;
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      this.say(error.message);
      return null;
    }
  }
}
