// Learn from this folder: one button, its progress, and what the new model changes on the objects made so far.

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
  const minutes = h("input", { type: "number", min: 0.2, max: 1440, step: "any", value: 30, "aria-label": "Minutes" });
  const trouble = h("p", { role: "alert", class: "trouble", hidden: job?.state !== "failed" }, job?.error ?? "");
  const start = async () => {
    try {
      const answer = await post("/api/learn", { minutes: Number(minutes.value) });
      app.live.takeJobs([answer.job]);
    } catch (error) {
      trouble.hidden = false;
      trouble.textContent = /** @type {Error} */ (error).message;
    }
  };
  const models = await get("/api/models").then(
    (answer) => answer.models,
    () => [],
  );
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
    atWork(job) ? progress(app, job) : ask,
    trouble,
    job?.state === "done" && job.result ? report(job.result) : null,
    choice(app, models, app.store.state.model),
  );
}

/** @param {HTMLElement} body @param {any} job that runs on */
function update(body, job) {
  const bar = body.querySelector("progress"),
    words = body.querySelector(".running p");
  if (!bar || !words) return;
  Object.assign(bar, { max: job.total || 1, value: job.done });
  words.textContent = job.text || "Starting …";
}

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
    h("p", { role: "status" }, job.text || "Starting …"),
    h("progress", { max: job.total || 1, value: job.done, "aria-label": "Progress" }),
    job.state === "running" ? buttonRow(button("Stop", stop)) : null,
  );
}

/** @param {any} report what changed on the objects made so far */
export function report({ objects, old_clicks: before, new_clicks: after, rows }) {
  if (!objects)
    return h(
      "p",
      { class: "report" },
      "The new model answers from now on. There were no objects yet to compare it on.",
    );
  const fewer = rows.filter((/** @type {any} */ row) => row.new < row.old).length,
    more = rows.filter((/** @type {any} */ row) => row.new > row.old).length;
  return h(
    "div",
    { class: "report" },
    h("p", null, "The new model answers from now on. On the objects made so far:"),
    h(
      "div",
      { class: "tiles" },
      tile(before.toFixed(1), "clicks an object before"),
      tile(after.toFixed(1), "clicks an object now"),
      tile(`${fewer} / ${more}`, "objects with fewer / more clicks"),
    ),
  );
}

/** @param {string} number @param {string} words */
export function tile(number, words) {
  return h("div", { class: "tile" }, h("b", null, number), h("span", { class: "quiet" }, words));
}

/** @param {any} app @param {any[]} models @param {any} current */
function choice({ annotator }, models, current) {
  if (models.length < 2) return h("p", { class: "quiet" }, `In use: ${current?.name ?? "no model"}.`);
  const select = h(
    "select",
    {
      "aria-label": "Model in use",
      onchange: () =>
        post("/api/models/use", { model: select.value }).catch((/** @type {Error} */ error) =>
          annotator.say(error.message),
        ),
    },
    models.map((each) => h("option", { value: each.id, selected: each.id === current?.id }, each.name)),
  );
  return h("label", { class: "row" }, h("span", null, "In use"), select);
}
