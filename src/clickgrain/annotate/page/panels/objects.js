// The objects of the image, topmost first, and what can be done with the chosen one.

import { byId, h, icon, nameIn, set } from "../dom.js";
import { drawer } from "./bar.js";
import { iconButton, titleOf } from "./buttons.js";
import { details } from "./details.js";
import { startLabels } from "./labels.js";
import { STATUS } from "./images.js";
import { labelOf } from "../core/color.js";
import { remember } from "../preferences.js";
import { tonePanel } from "./tones.js";

const REPLACED =
  "Drawn on an older version of this photo, whose file was replaced since. Check it; its next click or stroke is answered on the new one.";

/** How an object was made, where it was not by hand. @type {Record<string, string>} */
export const SOURCES = {
  import: "imported",
  same: "found",
  partition: "region",
  merge: "merged",
  split: "split",
  copy: "copied",
  carried: "carried",
};

/** @param {any} app */
export function startObjects(app) {
  const { store, annotator } = app;
  const title = h("h2", { class: "grow" }, "Objects");
  const list = h("div", {
    class: "things",
    role: "grid",
    "aria-label": "Objects, topmost first",
    tabindex: "0",
    onkeydown: (/** @type {KeyboardEvent} */ event) => walk(app, event),
  });
  const fresh = h(
    "button",
    {
      class: "button",
      type: "button",
      title: "Finish this object and begin another (Enter)",
      onclick: () => annotator.turn(() => annotator.take(null)),
    },
    "New object",
  );
  const foot = h("div", { class: "foot" });
  byId("objects").append(startLabels(app), h("div", { class: "head row" }, title, fresh), list, foot);
  const footer = startFoot(app);
  foot.append(...footer);
  /** @type {Map<number, {key: string, element: HTMLElement}>} */
  let rows = new Map();
  store.on(["image", "revision", "selection", "active", "labels", "models", "preferences"], (/** @type {any} */ state) => {
    const things = [...(state.image?.document?.objects ?? [])].reverse();
    title.textContent = things.length ? `${things.length} ${things.length === 1 ? "object" : "objects"}` : "Objects";
    fresh.hidden = state.active === null && !state.selection.length;
    const focus = list.contains(document.activeElement) && document.activeElement !== list;
    // rows that show the same stay: to make all of three hundred again took longer than the click
    rows = new Map(
      things.map((thing) => {
        const key = keyOf(state, thing),
          there = rows.get(thing.id);
        return [thing.id, there?.key === key ? there : { key, element: row(app, thing) }];
      }),
    );
    list.setAttribute("role", things.length ? "grid" : "group");
    set(list, "aria-multiselectable", things.length ? "true" : null);
    arrange(list, things.length ? [...rows.values()].map(({ element }) => element) : [empty()]);
    if (focus && !list.contains(document.activeElement)) list.focus({ preventScroll: true });
    list.querySelector("[aria-selected=true]")?.scrollIntoView({ block: "nearest" });
  });
  // what the pointer is on, over the image or here, is lit in both
  store.on(["lit"], (/** @type {any} */ { lit }) => {
    list.querySelector(".lit")?.classList.remove("lit");
    rows.get(lit)?.element.classList.add("lit");
    if (!list.matches(":hover")) list.querySelector(".lit")?.scrollIntoView({ block: "nearest" });
  });
}

/** All that a row shows. @param {any} state @param {import("../image.js").Thing} thing */
function keyOf(state, thing) {
  const { image, selection, active, labels, models } = state,
    { id, locked, hidden, clicks, source, replaced } = thing;
  const more = active === id ? [thing, models] : [locked, hidden, clicks, source, replaced];
  return JSON.stringify([image.id, more, selection.includes(id), nameOf(thing, labels), image.colour(thing, state)]);
}

/** Put elements in order with as few moves as can be. @param {HTMLElement} list @param {HTMLElement[]} elements */
function arrange(list, elements) {
  const wanted = new Set(elements);
  for (const child of [...list.children]) if (!wanted.has(/** @type {any} */ (child))) child.remove();
  let at = list.firstElementChild;
  for (const element of elements) {
    if (element === at) at = at.nextElementSibling;
    else list.insertBefore(element, at);
  }
}

function empty() {
  return h(
    "div",
    { class: "empty" },
    h("p", null, "Point at something, turn the wheel until the outline fits, and click."),
    h("p", { class: "quiet" }, "Left clicks add, right clicks take away. Enter begins the next object."),
  );
}

/** @param {any} app @param {import("../image.js").Thing} thing */
function row(app, thing) {
  const { store, annotator } = app,
    { selection, active, labels } = store.state;
  const name = nameOf(thing, labels),
    chosen = selection.includes(thing.id);
  const flip = (/** @type {"hidden" | "locked"} */ key) => (/** @type {Event} */ event) => {
    event.stopPropagation();
    annotator.turn(() => annotator.edit([thing.id], { [key]: !thing[key] }));
  };
  const choose = (/** @type {MouseEvent} */ event) =>
    annotator.turn(() =>
      event.shiftKey
        ? annotator.range(thing.id)
        : event.ctrlKey || event.metaKey
          ? annotator.toggle(thing.id)
          : annotator.take(thing.id),
    );
  const head = h(
    "div",
    { class: "line", onclick: choose },
    h("span", { class: "swatch", style: { "--colour": store.state.image.colour(thing, store.state) } }),
    nameIn(h("span", { class: "name grow" }), name),
    thing.replaced ? h("span", { class: "replaced", title: REPLACED }, icon("warn"), "old photo") : null,
    h(
      "span",
      { class: "quiet about" },
      thing.clicks ? `${thing.clicks} ${thing.clicks === 1 ? "click" : "clicks"}` : sourceOf(thing),
    ),
    iconButton(thing.hidden ? `Show ${name}` : `Hide ${name}`, thing.hidden ? "eyeoff" : "eye", flip("hidden"), {
      class: thing.hidden ? "on" : "seldom",
      "aria-pressed": String(thing.hidden),
    }),
    iconButton(thing.locked ? `Unlock ${name}` : `Lock ${name}`, thing.locked ? "lock" : "unlock", flip("locked"), {
      class: thing.locked ? "on" : "seldom",
      "aria-pressed": String(thing.locked),
    }),
  );
  return h(
    "div",
    {
      class: "thing",
      role: "row",
      "aria-selected": String(chosen),
      "aria-label": `${name}${thing.locked ? ", locked" : ""}${thing.hidden ? ", hidden" : ""}${thing.replaced ? ", drawn on an older photo" : ""}`,
      "data-object": thing.id,
      onpointerenter: () => store.set({ lit: thing.id }),
      onpointerleave: () => store.set({ lit: null }),
    },
    h("div", { role: "gridcell" }, head, active === thing.id ? details(app, thing) : null),
  );
}

/** @param {import("../image.js").Thing} thing @param {any[]} labels @returns {string} */
export function nameOf(thing, labels) {
  return labelOf(thing, labels)?.name ?? `Object ${thing.id}`;
}

/** @param {import("../image.js").Thing} thing */
function sourceOf(thing) {
  return SOURCES[thing.source] ?? "";
}

/** @param {any} app @param {KeyboardEvent} event */
function walk({ run }, event) {
  const id = { ArrowDown: "previousObject", ArrowUp: "nextObject" }[event.key];
  if (!id || event.target !== event.currentTarget) return;
  event.preventDefault();
  run(id, event);
}

/** @param {any} app */
function startFoot(app) {
  const { store, annotator } = app;
  const overlap = h("input", {
    type: "checkbox",
    onchange: () => annotator.changeProject({ kind: "overlap", allow: overlap.checked }),
  });
  const choose = (/** @type {string} */ value) => {
    if (value !== "sent_back") return annotator.turn(() => annotator.setStatus(value));
    status.value = store.state.image?.document.status; // until there is a note
    return app.open.sendBack();
  };
  const status = h(
    "select",
    { "aria-label": "Status of the image", onchange: () => choose(status.value) },
    Object.entries(STATUS)
      .slice(1)
      .map(([id, name]) => h("option", { value: id }, name)),
  );
  const done = h("button", {
    class: "button main grow",
    type: "button",
    title: titleOf(app, "done"),
    onclick: () => (app.run("done"), drawer("")),
  });
  store.on(
    ["projectDocument"],
    (/** @type {any} */ { projectDocument }) => (overlap.checked = projectDocument?.overlap ?? false),
  );
  store.on(["image", "revision"], (/** @type {any} */ { image }) => {
    status.value = image?.document?.status ?? "todo";
    status.disabled = done.disabled = !image;
    done.textContent = image?.document?.status === "done" ? "Not done yet" : "Done, next image";
  });
  const opacity = h("input", {
    type: "range",
    min: 0,
    max: 1,
    step: 0.05,
    class: "grow",
    oninput: () => remember(store, { opacity: Number(opacity.value) }),
  });
  const outline = h("input", { type: "checkbox", onchange: () => remember(store, { outline: outline.checked }) });
  const instances = h("input", {
    type: "checkbox",
    onchange: () => remember(store, { instances: instances.checked }),
  });
  store.on(["preferences"], (/** @type {any} */ { preferences }) => {
    instances.checked = preferences.instances;
    opacity.value = String(preferences.opacity);
    opacity.disabled = outline.checked = preferences.outline;
  });
  return [
    h("label", { class: "row" }, "Opacity", opacity),
    h(
      "details",
      { class: "view" },
      h("summary", null, "View"),
      h("label", { class: "check", title: titleOf(app, "peek") }, outline, "Outlines only"),
      h("label", { class: "check", title: "Else objects have the color of their label" }, instances, "A color for each object"),
      h(
        "label",
        { class: "check", title: "Where objects overlap and this is off, a pixel belongs to the topmost object" },
        overlap,
        "Objects may overlap",
      ),
      tonePanel(store),
    ),
    h("div", { class: "row" }, status, done),
  ];
}
