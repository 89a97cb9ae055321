// The bar above: project, image, whether all is saved, jobs, and the larger commands.

import { byId, fill, h, nameIn } from "../dom.js";
import { iconButton, toolButton } from "./buttons.js";
import { atWork, named } from "../dialogs/learn.js";

const COMMANDS = [
  ["same", "same"],
  ["learn", "learn"],
  ["statistics", "chart"],
  ["export", "export"],
  ["help", "help"],
];

/** @param {any} app */
export function startBar(app) {
  const { store } = app;
  const name = h("b", { title: "" }),
    title = h("span", { class: "title" }),
    size = h("span", { class: "quiet wide" }),
    count = h("span", { class: "count" });
  const model = h("button", { class: "model", type: "button", onclick: () => app.open.learn() });
  store.on(["model"], (/** @type {any} */ state) => {
    const name = state.model ? named(state.model) : "";
    model.textContent = name;
    model.title = `Model that answers clicks: ${name}. Press to learn another, or to choose`;
    model.setAttribute("aria-label", model.title);
  });
  const saved = h("div", { class: "saved", role: "status" }, h("span"));
  const job = h("button", {
    class: "job desk",
    type: "button",
    hidden: true,
    onclick: () => (job.dataset.kind === "learn" ? app.open.learn() : undefined),
  });
  byId("bar").append(
    iconButton("Images", "images", () => drawer("images"), { class: "phone" }),
    h("div", { class: "brand" }, h("img", { src: "/page/icon.svg", alt: "" }), name),
    h(
      "div",
      { class: "where" },
      toolButton(app, "previousImage", "left", "small"),
      title,
      count,
      size,
      toolButton(app, "nextImage", "right", "small"),
    ),
    h("div", { class: "grow desk" }),
    job,
    model,
    saved,
    h("div", { class: "rule" }),
    ...COMMANDS.map(([id, icon]) => toolButton(app, id, icon, "desk")),
    iconButton("Objects", "list", () => drawer("objects"), { class: "phone" }),
    iconButton("More", "more", () => app.open.help(), { class: "phone" }),
  );
  store.on(["project"], (/** @type {any} */ { project }) => {
    name.textContent = project?.name ?? "clickgrain";
    const head = document.querySelector("h1");
    if (head && project) head.textContent = `${project.name} in clickgrain`;
    name.title = project ? `${project.folder}\nannotations in ${project.database}` : "";
  });
  store.on(["image", "images", "broken"], (/** @type {any} */ { image, images, broken }) => {
    const place = images.findIndex((/** @type {any} */ each) => each.id === (image ?? broken)?.id);
    const shown = image?.info.name ?? broken?.name ?? "";
    nameIn(title, shown, image ? [shown, sizeOf(image.info), ...image.info.notes].join("\n") : shown);
    size.textContent = image ? sizeOf(image.info) : "";
    count.textContent = place >= 0 ? `${place + 1} / ${images.length}` : "";
  });
  store.on(["saving"], (/** @type {any} */ { saving }) => showSaved(saved, saving));
  store.on(["jobs", "user"], (/** @type {any} */ { jobs, user }) => showJob(job, jobs, user));
}

/** @param {{native: number[], size: number[], bytes: number | null}} info sizes as height and width */
function sizeOf({ native, size, bytes }) {
  const words = ([height, width]) => `${width} x ${height}`,
    work = native[1] === size[1] ? words(native) : `${words(native)}, worked on at ${words(size)}`;
  return bytes === null ? work : `${work}, ${bytes < 1e6 ? `${Math.max(1, Math.round(bytes / 1e3))} kB` : `${(bytes / 1e6).toFixed(1)} MB`}`;
}

/** @param {any} element @param {{waiting: number, problem: any}} saving */
function showSaved(element, { waiting, problem }) {
  element.dataset.state = problem ? "waiting" : waiting ? "saving" : "saved";
  const words = problem ? `Not saved: ${waiting} waiting` : waiting ? "Saving …" : "All saved";
  element.title = words;
  element.firstChild.textContent = words;
}

/** @param {any} element @param {any[]} jobs @param {string} user whose jobs show; all see that the model learns */
function showJob(element, jobs, user) {
  const mine = (/** @type {any} */ job) => job.kind === "learn" || (job.user === user && job.kind !== "carry");
  const running = jobs.find((job) => atWork(job) && mine(job));
  element.hidden = !running;
  if (!running) return;
  fill(
    element,
    h("progress", { max: running.total || 1, value: running.done }),
    h("span", null, running.text || running.kind),
  );
  element.title = running.text;
  element.dataset.kind = running.kind;
}

/** @param {string} id open one drawer of the phone layout, or close it */
export function drawer(id) {
  for (const name of ["images", "objects"]) {
    const open = name === id && !byId(name).classList.contains("open");
    byId(name).classList.toggle("open", open);
    if (open) byId(name).querySelector("[role=listbox], [role=grid]")?.focus({ preventScroll: true });
  }
}
