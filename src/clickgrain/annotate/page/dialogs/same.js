// Find the same: likely matches of an object in the other images, taken one by one or all above a similarity.

import { get, post } from "../api.js";
import { button, buttonRow, openDialog } from "./frame.js";
import { fill, h, icon } from "../dom.js";
import { nameOf } from "../panels/objects.js";

const EVERY_MS = 300;

/** @param {any} app */
export async function openSame(app) {
  const { store, annotator } = app,
    { image, active, labels } = store.state;
  const object = image?.object(active);
  if (!object) return annotator.say("Choose an object first, then search the other images for similar ones.");
  const body = h("div", { class: "same" }, h("p", { role: "status" }, "Looking …"), h("progress"));
  let open = true;
  openDialog(`The same as “${nameOf(object, labels)}”`, body, {
    wide: true,
    name: "same-dialog",
    closed: () => (open = false),
  });
  try {
    const { job } = await post("/api/same", { image: image.id, object: object.id, images: null, limit: 200 });
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
  return undefined;
}

/**
 * Wait for a job; null once the wait is cancelled.
 * @param {any} job @param {(job: any) => void} tell @param {() => boolean} wanted
 */
async function finished(job, tell, wanted) {
  let now = job;
  while (now.state === "running") {
    tell(now);
    await new Promise((done) => setTimeout(done, EVERY_MS));
    if (!wanted())
      return post(`/api/jobs/${job.id}/cancel`, {}).then(
        () => null,
        () => null,
      );
    now = (({ job: inner, ...outer }) => inner ?? outer)(await get(`/api/jobs/${job.id}`));
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
      value: this.#start(),
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

  /** A threshold in the widest gap of the better half, where likes tend to end. */
  #start() {
    const scores = this.left.map((each) => each.score).sort((a, b) => b - a);
    let gap = 0,
      at = scores[0] ?? 0.8;
    for (let i = 1; i < Math.ceil(scores.length / 2) + 1 && i < scores.length; i++) {
      if (scores[i - 1] - scores[i] > gap) [gap, at] = [scores[i - 1] - scores[i], scores[i - 1]];
    }
    return Math.floor(at * 100) / 100;
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
      h("div", { class: "row" }, h("span", { class: "grow name" }, each.name), h("b", null, each.score.toFixed(2))),
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
    else if (event.key === "Delete" || event.key === "Backspace") this.#drop([card.candidate]);
    else if (by)
      grid.children[Math.min(Math.max([...grid.children].indexOf(card) + by, 0), grid.children.length - 1)]?.focus();
    else return;
    event.preventDefault();
  }

  /** @param {any[]} some */
  async #take(some) {
    const items = some.map(({ image, node }) => ({ image, node }));
    try {
      const { accepted, skipped } = await post("/api/same/accept", {
        job: this.job.id,
        items,
        above: null,
        label: this.object.label,
      });
      this.accepted += accepted.length;
      if (accepted.length) this.app.annotator.remember({ found: accepted });
      this.app.annotator.say(
        `${accepted.length} taken${skipped.length ? `, ${skipped.length} left out: ${skipped[0].message}` : ""}`,
      );
      for (const { image, seq } of accepted) this.app.gallery.heard({ image, seq });
      this.#drop(some);
    } catch (error) {
      this.app.annotator.say(/** @type {Error} */ (error).message);
      this.body.prepend(h("p", { role: "alert" }, /** @type {Error} */ (error).message));
    }
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
