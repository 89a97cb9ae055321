// Find the same: likes of an object, first in the open image, outlined over it, then in all others, as cards; taken one
// by one or all above a similarity.

import { get, post } from "../api.js";
import { button, buttonRow, openDialog } from "./frame.js";
import { patiently, remember } from "../longwork.js";
import { TOUCH, fill, h, icon, nameIn } from "../dom.js";
import { nameOf } from "../panels/objects.js";

const EVERY_MS = [30, 60, 120, 300];

/** In the open image; once these are shown, in the others. @param {any} app */
export async function openSame(app) {
  const { store, annotator } = app,
    { image, active, same } = store.state;
  if (same) return void openOthers(app, same.object);
  const object = image?.object(active);
  if (!object) return annotator.say("Choose an object first, then look for others like it.");
  const here = () => store.state.image === image;
  try {
    const { job } = await post("/api/same", { image: image.id, object: object.id, images: [image.id], limit: 500 });
    const done = await finished(job, () => {}, here);
    if (!done || !here()) return undefined;
    const left = done.result.candidates;
    store.set({ same: { job: done, object, left, least: likely(left) }, active: null, selection: [], whole: false });
    annotator.say(left.length ? `${TOUCH ? "Tap an outline to take it; a long press" : "Click an outline to take it; a right click"} leaves it out.` : "No others in this image.");
  } catch (error) {
    annotator.say(/** @type {Error} */ (error).message);
  }
  return undefined;
}

/**
 * Take or leave out candidates of the open image; all that are shown, or some.
 * @param {any} app @param {any[]} some @param {boolean} [leave]
 */
export async function answerHere({ store, annotator, gallery }, some, leave = false) {
  const { same } = store.state;
  if (!same || !some.length) return;
  await take({ store, annotator, gallery }, same.job, same.object, some, leave);
  const left = same.left.filter((/** @type {any} */ each) => !some.includes(each));
  store.set({ same: { ...same, left } });
}

/**
 * Make objects of candidates, or refuse them, which the server remembers for Learn.
 * @param {any} app @param {any} job @param {any} object that they are like @param {any[]} some @param {boolean} [refuse]
 * @returns {Promise<number>} how many were made, or refused
 */
async function take({ store, annotator, gallery }, job, object, some, refuse = false) {
  const items = some.map(({ image, node }) => ({ image, node })),
    body = { job: job.id, items, label: object.label, refuse },
    { accepted, skipped } = await post("/api/same/accept", body),
    open = store.state.image?.id,
    others = accepted.filter((/** @type {any} */ each) => each.image !== open),
    sum = accepted.reduce((/** @type {number} */ all, /** @type {any} */ each) => all + each.objects, 0);
  if (others.length) annotator.remember({ found: others, how: refuse ? "refused" : "found" });
  if (others.length < accepted.length) annotator.remember({ image: open });
  annotator.say(`${sum} ${refuse ? "refused" : "taken"}${skipped.length ? `, ${skipped.length} left out: ${skipped[0].message}` : ""}`);
  await Promise.all(accepted.map((/** @type {any} */ each) => gallery.heard(each)));
  return sum;
}

/** A threshold in the widest gap of the better half, where likes tend to end. @param {any[]} left */
function likely(left) {
  const scores = left.map((each) => each.score).sort((a, b) => b - a);
  let gap = 0,
    at = scores[0] ?? 0.8;
  for (let i = 1; i < Math.ceil(scores.length / 2) + 1 && i < scores.length; i++) {
    if (scores[i - 1] - scores[i] > gap) [gap, at] = [scores[i - 1] - scores[i], scores[i - 1]];
  }
  return Math.floor(at * 100) / 100;
}

/** @param {any} app @param {any} object to look for, or its number and label @param {any} [there] job that looks already */
export async function openOthers(app, object, there) {
  const { image, labels } = app.store.state,
    body = h("div", { class: "same" }, h("p", { role: "status" }, "Looking …"), h("progress"));
  let open = true;
  openDialog(`In other images: the same as “${nameOf(object, labels)}”`, body, {
    wide: true,
    name: "same-dialog",
    closed: () => {
      open = false;
      remember("");
    },
  });
  try {
    const about = () => ({ image: image.id, object: object.id, images: null, limit: 200 });
    const { job } = there ? { job: there } : await post("/api/same", about());
    remember("same");
    const done = await finished(
      job,
      (now) =>
        open &&
        fill(
          body,
          h("p", { role: "status" }, now.text || "Looking …"),
          h("progress", { max: now.total || 1, value: now.done }),
        ),
      () => open,
    );
    if (open && done) new Candidates(app, body, done, object).show();
  } catch (error) {
    fill(body, h("p", { role: "alert" }, /** @type {Error} */ (error).message));
  }
}

/**
 * Wait for a job; null once the wait is cancelled.
 * @param {any} job @param {(job: any) => void} tell @param {() => boolean} wanted
 */
async function finished(job, tell, wanted) {
  let now = job;
  for (let i = 0; now.state === "running"; i++) {
    tell(now);
    await new Promise((done) => setTimeout(done, EVERY_MS[i] ?? EVERY_MS.at(-1)));
    if (!wanted())
      return post(`/api/jobs/${job.id}/cancel`, {}).then(
        () => null,
        () => null,
      );
    now = await patiently(() => get(`/api/jobs/${job.id}`));
  }
  if (now.state !== "done") throw new Error(now.error ?? "The search was cancelled.");
  return now;
}

class Candidates {
  /** @param {any} app @param {HTMLElement} body @param {any} job @param {any} object */
  constructor(app, body, job, object) {
    this.app = app;
    this.body = body;
    this.job = job;
    this.object = object;
    /** @type {any[]} */
    this.left = job.result.candidates.filter((/** @type {any} */ each) => !each.taken);
    this.accepted = 0;
  }

  show() {
    if (!this.left.length)
      return fill(
        this.body,
        h(
          "p",
          null,
          this.accepted ? `${this.accepted} taken. No more likely matches.` : "Nothing similar in the other images.",
        ),
      );
    this.grid = h(
      "div",
      { class: "candidates", role: "listbox", "aria-label": "Likely matches", onkeydown: this.#key.bind(this) },
      this.left.map((each) => this.#card(each)),
    );
    const slider = h("input", {
      type: "range",
      min: 0,
      max: 1,
      step: 0.01,
      value: likely(this.left),
      "aria-label": "Least similarity",
    });
    const all = button("", () => this.#take(this.left.filter((each) => each.score >= Number(slider.value))), "main");
    const count = () => {
      const above = this.left.filter((each) => each.score >= Number(slider.value));
      all.textContent =
        above.length === 1
          ? `Take the one above ${Number(slider.value).toFixed(2)}`
          : `Take all ${above.length} above ${Number(slider.value).toFixed(2)}`;
      all.disabled = !above.length;
      for (const card of this.grid?.children ?? [])
        card.classList.toggle("below", Number(card.dataset.score) < Number(slider.value));
    };
    slider.addEventListener("input", count);
    fill(
      this.body,
      h(
        "p",
        { class: "quiet" },
        h("kbd", null, "↵"),
        " takes the chosen one, ",
        h("kbd", null, "Del"),
        " leaves it out, arrows move on.",
      ),
      this.grid,
      buttonRow(slider, all),
    );
    count();
    this.grid.firstElementChild?.focus();
    return undefined;
  }

  /** @param {any} each */
  #card(each) {
    const card = h(
      "div",
      {
        class: "candidate",
        role: "option",
        tabindex: "0",
        "data-score": each.score,
        "aria-label": `${each.name}, similarity ${each.score.toFixed(2)}`,
        onclick: () => this.#take([each]),
      },
      h("img", { src: `/api/images/${each.image}/thumb?node=${each.node}`, alt: "", loading: "lazy" }),
      h("div", { class: "row" }, nameIn(h("span", { class: "grow name" }), each.name), h("b", null, each.score.toFixed(2))),
      h("span", { class: "take" }, icon("check")),
    );
    card.candidate = each;
    return card;
  }

  /** @param {KeyboardEvent} event */
  #key(event) {
    const card = /** @type {any} */ (event.target).closest(".candidate"),
      grid = this.grid;
    if (!card || !grid) return;
    const columns = Math.max(Math.round(grid.clientWidth / card.offsetWidth - 0.3), 1);
    const by = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: columns, ArrowUp: -columns }[event.key];
    if (event.key === "Enter" || event.key === " ") this.#take([card.candidate]);
    else if (event.key === "Delete" || event.key === "Backspace") this.#refuse([card.candidate]);
    else if (by)
      grid.children[Math.min(Math.max([...grid.children].indexOf(card) + by, 0), grid.children.length - 1)]?.focus();
    else return;
    event.preventDefault();
  }

  /** @param {any[]} some */
  async #take(some) {
    try {
      this.accepted += await take(this.app, this.job, this.object, some);
      this.#drop(some);
    } catch (error) {
      this.app.annotator.say(/** @type {Error} */ (error).message);
      this.body.prepend(h("p", { role: "alert" }, /** @type {Error} */ (error).message));
    }
  }

  /** @param {any[]} some */
  async #refuse(some) {
    this.#drop(some);
    await take(this.app, this.job, this.object, some, true).catch((error) => this.app.annotator.say(error.message));
  }

  /** @param {any[]} some no longer on offer */
  #drop(some) {
    const place = [...(this.grid?.children ?? [])].indexOf(/** @type {any} */ (document.activeElement));
    this.left = this.left.filter((each) => !some.includes(each));
    this.show();
    const next = this.grid?.children[Math.min(Math.max(place, 0), this.left.length - 1)];
    /** @type {any} */ (next)?.focus();
  }
}
