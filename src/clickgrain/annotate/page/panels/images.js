// The list of images: thumbnails come when they are in sight, rows exist only where they are seen.

import { byId, fill, h, icon, nameIn } from "../dom.js";
import { drawer } from "./bar.js";
import { iconButton } from "./buttons.js";
import { byLabel, counts, filtered } from "../core/filter.js";
import { scrollTo, visibleRows } from "../core/virtual.js";
import { post } from "../api.js";
import { others } from "../team.js";

const ROW = 64;
export const STATUS = /** @type {Record<string, string>} */ ({
  all: "All",
  todo: "To do",
  doing: "Begun",
  done: "Done",
  checked: "Checked",
  sent_back: "Sent back",
  skipped: "Skipped",
});

/** @param {any} app */
export function startImages(app) {
  const list = new ImageList(app);
  app.open.search = () => list.search.focus();
}

class ImageList {
  /** @param {any} app */
  constructor(app) {
    this.app = app;
    this.store = app.store;
    /** @type {import("../core/filter.js").Entry[]} */
    this.shown = [];
    /** @type {Map<number, {key: string, element: HTMLElement}>} */
    this.rows = new Map();
    this.search = h("input", {
      type: "search",
      placeholder: "Search",
      "aria-label": "Search images by name",
      oninput: () => this.store.set({ filter: { ...this.store.state.filter, words: this.search.value } }),
      onkeydown: (/** @type {KeyboardEvent} */ event) =>
        event.key === "Enter" && this.shown.length && this.#open(this.shown[0].id),
    });
    this.filter = h("select", {
      "aria-label": "Show images by status",
      onchange: () => this.#filter(this.filter.value),
    });
    this.bar = h("progress", { max: 1, value: 0, "aria-label": "Images done" });
    this.finished = h(
      "button",
      { class: "button main", type: "button", onclick: () => app.run("export") },
      "All done: export",
    );
    this.words = h("p", { class: "quiet" });
    this.space = h("div", { class: "space" });
    this.nothing = h("p", { class: "empty", role: "status" });
    this.scroller = h(
      "div",
      { class: "list", role: "listbox", "aria-label": "Images", tabindex: "0", onkeydown: this.#key.bind(this) },
      this.space,
    );
    this.scroller.addEventListener("scroll", () => this.#draw(), { passive: true });
    new ResizeObserver(() => this.#draw()).observe(this.scroller);
    const again = iconButton("Look for new photos in the folder", "plus", () => this.#rescan());
    byId("images").append(
      h(
        "div",
        { class: "head" },
        h("div", { class: "row" }, this.search, this.filter),
        h("div", { class: "row" }, this.words, again),
        this.bar,
        this.finished,
      ),
      this.nothing,
      this.scroller,
    );
    this.store.on(["images", "filter", "labels"], () => this.refresh());
    this.store.on(["image", "broken"], () => (this.#draw(), this.#reveal()));
  }

  async #filter(/** @type {string} */ status) {
    if (byLabel(status)) await this.app.gallery.loadLabels();
    this.store.set({ filter: { ...this.store.state.filter, status } });
  }

  async #rescan() {
    const { added, missing } = await post("/api/rescan", {}).catch((error) => ({ added: error.message, missing: 0 }));
    await this.app.gallery.loadList();
    this.app.annotator.say(`${added} new${missing ? `, ${missing} missing` : ""}`);
  }

  /** @returns {number | undefined} number of the image that is open, or cannot be */
  get #current() {
    return this.store.state.image?.id ?? this.store.state.broken?.id;
  }

  refresh() {
    const { images, filter } = this.store.state;
    const sums = counts(images);
    this.shown = filtered(images, filter.words, filter.status);
    const option = (/** @type {string} */ id, /** @type {string} */ name) =>
      h("option", { value: id, selected: id === filter.status }, name);
    fill(
      this.filter,
      Object.entries(STATUS).map(([id, name]) => option(id, `${name} ${sums[id] ?? 0}`)),
      option("empty", "Without objects"),
      option("unlabelled", "With unlabeled objects"),
      option("unsure", "Least sure first"),
      this.store.state.labels.map((/** @type {any} */ label) => option(String(label.id), `With ${label.name}`)),
    );
    this.finished.hidden = !sums.all || sums.todo + sums.doing > 0;
    this.bar.max = Math.max(sums.all, 1);
    this.bar.value = sums.done + sums.checked;
    this.words.textContent = `${sums.done + sums.checked} of ${sums.all} done`;
    this.nothing.textContent = this.shown.length || !images.length ? "" : "Nothing found.";
    this.nothing.hidden = !this.nothing.textContent;
    this.space.style.height = `${ROW * this.shown.length}px`;
    this.#draw();
  }

  #draw() {
    const { first, last } = visibleRows(this.shown.length, ROW, this.scroller.scrollTop, this.scroller.clientHeight);
    const current = this.#current,
      seen = new Set();
    for (let i = first; i < last; i++) {
      const entry = this.shown[i],
        key = `${i} ${entry.status} ${entry.objects} ${entry.id === current} ${/** @type {any} */ (entry).missing} ${/** @type {any} */ (entry).people}`;
      seen.add(entry.id);
      const there = this.rows.get(entry.id);
      if (there?.key === key) continue;
      const element = this.#row(entry, i, entry.id === current, there?.element);
      if (!there) this.space.append(element);
      this.rows.set(entry.id, { key, element });
    }
    for (const [id, { element }] of this.rows) {
      if (seen.has(id)) continue;
      element.remove();
      this.rows.delete(id);
    }
    this.scroller.setAttribute("aria-activedescendant", seen.has(current) ? `image-${current}` : "");
  }

  /** @param {any} entry @param {number} place @param {boolean} current @param {HTMLElement} [there] to be filled again */
  #row(entry, place, current, there) {
    const element =
      there ??
      h(
        "div",
        { class: "row", role: "option", id: `image-${entry.id}`, onclick: () => this.#open(entry.id) },
        h("img", {
          src: `/api/images/${entry.id}/thumb`,
          alt: "",
          loading: "lazy",
          decoding: "async",
          onerror: (/** @type {any} */ { target }) => (target.style.visibility = "hidden"), // a damaged file
          width: 64,
          height: 48,
        }),
        h("div", { class: "words" }),
        h("i"),
      );
    element.style.transform = `translateY(${ROW * place}px)`;
    element.setAttribute("aria-label", `${entry.name}, ${STATUS[entry.status]}`);
    element.setAttribute("aria-selected", String(current));
    element.setAttribute("aria-setsize", String(this.shown.length));
    element.setAttribute("aria-posinset", String(place + 1));
    const [, words, mark] = /** @type {any} */ (element.children);
    const about = entry.missing
      ? "file is missing"
      : entry.objects
        ? `${entry.objects} ${entry.objects === 1 ? "object" : "objects"}`
        : STATUS[entry.status];
    const more = others(entry, this.store.state.user).map((name) => ` · ${name}`);
    fill(words, nameIn(h("b"), entry.name), h("span", { class: "quiet" }, about, more));
    mark.className = entry.status;
    mark.title = STATUS[entry.status];
    fill(mark, ["done", "checked"].includes(entry.status) ? icon("check") : null);
    return element;
  }

  /** @param {number} id */
  #open(id) {
    this.app.annotator.turn(() => void this.app.gallery.show(id));
    // what is typed next is meant for the image
    byId("stage").focus({ preventScroll: true, focusVisible: false });
    if (byId("images").classList.contains("open")) drawer("");
  }

  #reveal() {
    const place = this.shown.findIndex((entry) => entry.id === this.#current);
    if (place >= 0) this.scroller.scrollTop = scrollTo(place, ROW, this.scroller.scrollTop, this.scroller.clientHeight);
  }

  /** @param {KeyboardEvent} event */
  #key(event) {
    const by = { ArrowDown: 1, ArrowUp: -1, PageDown: 8, PageUp: -8, Home: -1e9, End: 1e9 }[event.key];
    if (by === undefined) return;
    event.preventDefault();
    const here = this.shown.findIndex((entry) => entry.id === this.#current);
    const next = this.shown[Math.min(Math.max(here + by, 0), this.shown.length - 1)];
    if (next) this.app.annotator.turn(() => void this.app.gallery.show(next.id));
  }
}
