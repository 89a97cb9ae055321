// Learn from this folder: its progress, what the new model gains on objects it has not seen, and the choice of a model.

import { get, post } from "../api.js";
import { button, buttonRow, openDialog } from "./frame.js";
import { fill, h } from "../dom.js";

/** @param {any} app */
export function openLearn(app) {
  const body = h("div", { class: "learn" });
  let drawn = "";
  const stop = app.store.on(["jobs", "model"], () => {
    const job = learning(app),
      key = `${job?.id} ${job?.state} ${app.store.state.model?.id}`;
    if (key === drawn) return update(body, job);
    drawn = key;
    return show(app, body, job);
  });
  openDialog("Learn from this folder", body, { closed: stop, name: "learn-dialog" });
}

/** @param {any} app @returns {any} the last job that learns or has learned */
function learning({ store }) {
  return store.state.jobs.filter((/** @type {any} */ job) => job.kind === "learn").at(-1);
}

/** @param {any} app @param {HTMLElement} body @param {any} job */
async function show(app, body, job) {
  const from = h("input", { type: "checkbox" }),
    minutes = h("input", { type: "number", min: 0.2, max: 1440, step: "any", value: 30, "aria-label": "Minutes" });
  const trouble = h("p", { role: "alert", class: "trouble", hidden: job?.state !== "failed" }, job?.error ?? "");
  const start = async () => {
    try {
      const answer = await post("/api/learn", { minutes: Number(minutes.value), objects: from.checked });
      app.live.takeJobs([answer.job]);
    } catch (error) {
      trouble.hidden = false;
      trouble.textContent = /** @type {Error} */ (error).message;
    }
  };
  const [models, has] = await Promise.all([
    get("/api/models").then((answer) => answer.models, () => []),
    get("/api/learn").catch(() => ({ objects: 0, refused: 0, enough: 10, stopped: null })),
  ]);
  const { stopped } = has;
  from.disabled = has.objects < has.enough;
  from.checked = stopped ? stopped.objects : !from.disabled;
  if (stopped) minutes.value = `${stopped.minutes}`;
  const ask = h(
    "div",
    { class: "row" },
    h("label", { class: "row" }, "For", minutes, "minutes"),
    h("span", { class: "grow" }),
    button(job ? "Learn again" : "Learn", start, "main"),
  );
  fill(
    body,
    h(
      "p",
      null,
      "clickgrain learns from all photos of this folder which pixels belong together, without labels. It works in the background; you can keep annotating.",
    ),
    stopped && !atWork(job) ? h("p", { class: "stopped" }, `A run of ${stopped.minutes} minutes was stopped (${stopped.text}). Learn as set here continues it.`) : null,
    atWork(job) ? null : teachers(from, has),
    atWork(job) ? progress(app, job) : ask,
    trouble,
    job?.state === "done" && job.result ? [report(job.result), decision(app, job.result, models)] : null,
    choice(app, models, app.store.state.model),
  );
}

/** Whether the objects made so far are targets too. @param {HTMLElement} from @param {any} has what there is */
function teachers(from, { objects, refused, enough }) {
  const left = enough - objects,
    few = `${objects} accepted so far; ${left} more and they can be learned from`,
    third = `two thirds of them are learned from, a third measures what that gains`,
    also = refused ? `, and ${refused} left out of Find the same` : "";
  return h(
    "label",
    { class: "row teachers" },
    from,
    h(
      "span",
      null,
      left > 0 ? "Learn from accepted objects too " : `Learn from your ${objects} accepted objects too${also} `,
      h("span", { class: "quiet" }, left > 0 ? `(${few})` : `(${third}; the model is no longer label-free)`),
    ),
  );
}

/** Which of the two models answers from now on. @param {any} app @param {any} result @param {any[]} models */
function decision(app, { old: before, new: after }, models) {
  const current = app.store.state.model?.id;
  if (current === after.id) return h("p", null, "The new model answers.");
  if (current !== before.id || !models.some((each) => each.id === after.id)) return null;
  return buttonRow(button("Use the new model", () => use(app, after.id), "main"), h("span", { class: "quiet" }, `Until then ${before.name} answers.`));
}

/** @param {any} app @param {string} model */
async function use({ annotator, live }, model) {
  await post("/api/models/use", { model }).catch((/** @type {Error} */ error) => annotator.say(error.message));
  live.poll();
}

/** @param {HTMLElement} body @param {any} job that runs on */
function update(body, job) {
  const bar = body.querySelector("progress"),
    words = body.querySelector(".running p");
  if (!bar || !words) return;
  Object.assign(bar, { max: job.total || 1, value: job.done });
  words.textContent = state(job);
}

/** How far it is, and in a team whose it is. @param {any} job */
const state = ({ text, user }) => `${text || "Starting …"}${user ? ` (started by ${user})` : ""}`;

/** @param {any} job @returns {boolean} whether it runs, perhaps to its end */
export function atWork(job) {
  return job?.state === "running" || job?.state === "stopping";
}

/** @param {any} app @param {any} job */
function progress(app, job) {
  const stop = async () => app.live.takeJobs([await post(`/api/jobs/${job.id}/cancel`, {})]);
  return h(
    "div",
    { class: "running" },
    h("p", { role: "status" }, state(job)),
    h("progress", { max: job.total || 1, value: job.done, "aria-label": "Progress" }),
    job.state === "running" ? buttonRow(button("Stop", stop)) : null,
  );
}

/** @param {any} result clicks of both models on objects that neither was trained on */
export function report(result) {
  const { objects, images, old_clicks: before, new_clicks: after, interval, over, rows, taught } = result;
  if (!objects) return h("p", { class: "report" }, "There were no objects yet to compare the new model on.");
  const fewer = rows.filter((/** @type {any} */ row) => row.new < row.old).length,
    more = rows.filter((/** @type {any} */ row) => row.new > row.old).length,
    change = interval && `${interval[1] < 0 ? "Fewer" : interval[0] > 0 ? "More" : "No certain difference in"} clicks: ${signed(result.difference)}, between ${signed(interval[0])} and ${signed(interval[1])} with 95 % certainty over ${over}.`;
  return h(
    "div",
    { class: "report" },
    h("p", null, `On ${plural(objects, "object")} in ${plural(images, "image")} that neither model was trained on:`),
    h(
      "div",
      { class: "tiles" },
      tile(before.toFixed(1), `clicks an object, model in use${ranged(result.old_interval)}`),
      tile(after.toFixed(1), `clicks an object, new model${ranged(result.new_interval)}`),
      tile(`${fewer} / ${more}`, "objects with fewer / more clicks"),
    ),
    h("p", null, change ?? "Too few objects to say how certain this is."),
    taught?.length
      ? h(
          "details",
          null,
          h("summary", null, `Learned from ${plural(taught.length, "accepted object")}; no longer label-free`),
          h("p", { class: "names quiet" }, taught.join(", ")),
        )
      : null,
  );
}

/** @param {number} value */
const signed = (value) => `${value > 0 ? "+" : value < 0 ? "-" : ""}${Math.abs(value).toFixed(1)}`;

/** @param {number} count @param {string} what */
const plural = (count, what) => `${count} ${what}${count === 1 ? "" : "s"}`;

/** @param {number[] | null} ends of a 95 % interval */
const ranged = (ends) => (ends ? `: ${ends[0].toFixed(1)} to ${ends[1].toFixed(1)}` : "");

/** @param {string} number @param {string} words */
export function tile(number, words) {
  return h("div", { class: "tile" }, h("b", null, number), h("span", { class: "quiet" }, words));
}

/** @param {any} app @param {any[]} models @param {any} current */
function choice(app, models, current) {
  if (models.length < 2) return h("p", { class: "quiet" }, `In use: ${current ? named(current) : "no model"}.`);
  const select = h(
    "select",
    {
      "aria-label": "Model in use",
      onchange: () => use(app, select.value),
    },
    models.map((each) => h("option", { value: each.id, selected: each.id === current?.id }, named(each))),
  );
  return h("label", { class: "row" }, h("span", null, "In use"), select);
}

/** A model's name, with a mark where people's masks taught it. @param {any} model */
export function named({ name, labelled }) {
  return labelled ? `${name} (from labels)` : name;
}
