// Which image is open; the last ones and the next stay at hand, so that switching is quick.

import { ApiError, get, post } from "./api.js";
import { labelOf } from "./core/color.js";
import { byLabel, filtered } from "./core/filter.js";
import { OpenImage } from "./image.js";

const KEPT = 5;

export class Gallery {
  /** @param {import("./core/store.js").Store<import("./app.js").State>} store */
  constructor(store) {
    this.store = store;
    this.tab = `tab-${Math.random().toString(36).slice(2, 8)}`;
    /** @type {Map<number, Promise<OpenImage>>} most recently used last */
    this.open = new Map();
    this.wanted = 0;
    this.goal = -1;
    /** @type {Map<string, {waiting: number, problem: any}>} */
    this.lines = new Map();
    this.channel = "BroadcastChannel" in window ? new BroadcastChannel("clickgrain") : null;
    this.channel?.addEventListener("message", ({ data }) => this.heard(data));
  }

  async loadList() {
    const { images } = await get("/api/images");
    this.store.set({ images });
    if (byLabel(this.store.state.filter.status)) await this.loadLabels();
  }

  /** Learn which labels every image has; those of the open image are kept up to date. */
  async loadLabels() {
    const { images, least } = await get("/api/labelled");
    const about = (/** @type {any} */ { id }) => ({ labels: images[id] ?? [], least: least[id] });
    this.store.set({ images: this.store.state.images.map((each) => ({ ...each, ...about(each) })) });
  }

  /** To the next object without a label, here or in another image. */
  async nextUnlabelled() {
    const { image, active } = this.store.state,
      without = () => this.store.state.image?.document?.objects.filter((each) => !this.#label(each)) ?? [],
      later = without().find(({ id }) => id > (active ?? 0));
    if (later) return later.id;
    await this.loadLabels();
    const { images } = this.store.state,
      here = images.findIndex((each) => each.id === image?.id),
      next = [...images.slice(here + 1), ...images.slice(0, here)].find(({ labels }) => labels.includes(null));
    if (next) await this.show(next.id);
    return without()[0]?.id;
  }

  #label(/** @type {any} */ object) {
    return labelOf(object, this.store.state.labels)?.id ?? null;
  }

  /** The image that the address names. */
  named() {
    return this.store.state.images.find((image) => `#${image.id}` === location.hash);
  }

  /** Go on where the address says, or with the first image that was sent back, or is not done. */
  async openFirst() {
    const { images } = this.store.state;
    const next =
      this.named() ??
      images.find((image) => image.status === "sent_back") ??
      images.find((image) => image.status === "doing") ??
      images.find((image) => image.status === "todo") ??
      images[0];
    if (next) await this.show(next.id);
    this.store.set({ opening: false });
  }

  /** @param {number} id @param {boolean} [passing] @returns {Promise<OpenImage>} */
  #get(id, passing) {
    const there = this.open.get(id);
    this.open.delete(id);
    const hooks = {
      changed: (/** @type {OpenImage} */ image) => this.#changed(image),
      saving: (/** @type {number} */ waiting, /** @type {any} */ problem) =>
        this.report(`image ${id}`, waiting, problem),
      wrote: (/** @type {OpenImage} */ image) => this.channel?.postMessage({ image: image.id, seq: image.queue.seq }),
    };
    const image = there ?? new OpenImage(id, this.tab, hooks).load(passing);
    this.open.set(id, image);
    image.catch(() => this.open.delete(id));
    this.#forget();
    return image;
  }

  async #forget() {
    for (const [id, promise] of [...this.open].slice(0, -KEPT)) {
      const image = await promise.catch(() => null);
      const busy = image && (image.queue.line.length || image === this.store.state.image);
      if (!busy && this.open.size > KEPT) this.open.delete(id);
    }
  }

  /**
   * Put an image on the screen.
   * @param {number} id @param {boolean} [passing] the view follows an object that is carried on
   */
  async show(id, passing = false) {
    const turn = ++this.wanted;
    this.goal = id; // keys may come faster than images
    this.store.set({ opening: !this.open.has(id) });
    try {
      const image = await this.#get(id, passing);
      if (turn !== this.wanted) return;
      history.replaceState(null, "", `#${id}`);
      this.store.set({
        image,
        broken: null,
        opening: false,
        active: null,
        selection: [],
        offers: null,
        same: null,
        lit: null,
        revision: this.store.state.revision + 1,
      });
      if (passing) return;
      image.arrive();
      this.#ahead(image);
    } catch (error) {
      if (turn !== this.wanted) return;
      history.replaceState(null, "", `#${id}`);
      const { name } = this.store.state.images.find((each) => each.id === id) ?? { name: `image ${id}` };
      const reason = /** @type {Error} */ (error).message;
      this.store.set({
        image: null,
        broken: { id, name, reason },
        opening: false,
        active: null,
        selection: [],
        offers: null,
        same: null,
      });
      if (!(error instanceof ApiError)) throw error;
    }
  }

  /**
   * Fetch everything of an image again, as its file was replaced.
   * @param {OpenImage} image
   */
  async renew(image) {
    this.open.delete(image.id);
    if (this.store.state.image === image) await this.show(image.id);
  }

  /** The next image is fetched while the annotator works on this one. */
  #ahead(/** @type {OpenImage} */ image) {
    const next = this.#beside(1)?.id;
    if (next !== undefined && !this.open.has(next))
      setTimeout(() => this.store.state.image === image && this.#get(next).catch(() => {}), 400);
  }

  /** The next image, which need not be shown in the list as this one. */
  #beside(/** @type {number} */ direction) {
    return this.way(direction)[0];
  }

  /** Those that search and filter show, from the open one on. @param {number} direction @returns {any[]} */
  way(direction) {
    const { images, filter } = this.store.state,
      list = filtered(images, filter.words, filter.status),
      at = list.findIndex((each) => each.id === this.goal);
    if (at >= 0) return direction > 0 ? list.slice(at + 1) : list.slice(0, at).reverse();
    const shown = new Set(list),
      here = images.findIndex((each) => each.id === this.goal),
      way = direction > 0 ? images.slice(here + 1) : images.slice(0, Math.max(here, 0)).reverse();
    return way.filter((each) => shown.has(each));
  }

  /** @param {number} direction 1 or -1 @returns {Promise<void> | null} null where there is no other image that way */
  step(direction) {
    const next = this.#beside(direction);
    return next ? this.show(next.id) : null;
  }

  /** Mark an image that cannot be opened, and go on. @returns {Promise<any>} where, for undo */
  async skipBroken() {
    const { broken, images } = this.store.state,
      entry = images.find((each) => each.id === broken?.id);
    if (!broken || !entry) return null;
    const action = { kind: "status", status: "skipped" },
      body = { seq: entry.seq, client: this.tab, active: 0, action };
    const { seq } = await post(`/api/images/${broken.id}/actions`, body);
    this.takeEntries([{ ...entry, status: "skipped", seq }]);
    this.step(1);
    return { image: broken.id, seq, objects: 0 };
  }

  /** @param {OpenImage} image */
  #changed(image) {
    const { store } = this;
    if (image.document) this.#entry(image);
    if (store.state.image !== image) return;
    const there = (/** @type {number} */ id) => image.object(id) !== undefined;
    const { active, selection } = store.state;
    store.set({
      revision: store.state.revision + 1,
      active: active !== null && there(active) ? active : null,
      selection: selection.every(there) ? selection : selection.filter(there),
    });
  }

  /** @param {OpenImage} image */
  #entry(image) {
    const { document } = image;
    const entry = this.store.state.images.find((each) => each.id === image.id);
    if (!entry || !document || document.seq < entry.seq) return;
    const fresh = {
      status: document.status,
      objects: document.objects.length,
      labels: [...new Set(document.objects.map((each) => this.#label(each)))],
      least: Math.min(...document.objects.map((each) => each.score ?? Infinity)),
      seq: document.seq,
      encoded: entry.encoded || !!image.tree,
    };
    if (Object.entries(fresh).every(([key, value]) => String(entry[key]) === String(value))) return;
    this.takeEntries([{ ...entry, ...fresh }]);
  }

  /** @param {any[]} entries of the image list that changed */
  takeEntries(entries) {
    if (!entries.length) return;
    const fresh = new Map(entries.map((entry) => [entry.id, entry]));
    const images = this.store.state.images.map((image) => ({ ...image, ...fresh.get(image.id) }));
    const known = new Set(images.map((image) => image.id));
    this.store.set({ images: [...images, ...entries.filter((entry) => !known.has(entry.id))] });
    for (const entry of entries) this.heard({ image: entry.id, seq: entry.seq });
  }

  /** Another tab, or the server itself, wrote to an image. */
  async heard(/** @type {{image: number, seq: number}} */ { image: id, seq }) {
    const image = await this.open.get(id)?.catch(() => null);
    if (image?.document && seq > image.queue.seq) await image.refresh().catch(() => {});
  }

  /**
   * Actions in line, all lines together.
   * @param {string} line @param {number} waiting @param {any} problem
   */
  report(line, waiting, problem) {
    this.lines.set(line, { waiting, problem });
    const lines = [...this.lines.values()];
    const sum = lines.reduce((total, each) => total + each.waiting, 0);
    this.store.set({ saving: { waiting: sum, problem: lines.find((each) => each.problem)?.problem ?? null } });
  }
}
