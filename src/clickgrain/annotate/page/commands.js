// What every command of core/keys.js does; buttons and keys both come here.

import { carry, stopCarrying } from "./carrying.js";
import { resized } from "./canvas/stage.js";
import { counts, likes } from "./core/filter.js";
import { answerHere } from "./dialogs/same.js";
import { remember } from "./preferences.js";

/** @typedef {{store: any, gallery: any, annotator: any, stage: any, live: any, open: Record<string, (options?: any) => void>}} App */

/** @param {App} app @returns {Record<string, (event?: any) => void>} */
export function commands(app) {
  const { store, annotator, gallery, stage } = app;
  return {
    undo: async () => {
      await stopCarrying(app);
      return annotator.history("undo");
    },
    redo: () => annotator.history("redo"),
    ...tools(app),
    ...pointer(app),
    ...objects(app),
    choose1: () => annotator.choose(0),
    choose2: () => annotator.choose(1),
    choose3: () => annotator.choose(2),
    fit: () => stage.fit(),
    actual: () => stage.actual(),
    zoomIn: () => stage.zoom(1.35),
    zoomOut: () => stage.zoom(1 / 1.35),
    fainter: () => remember(store, { opacity: Math.max(store.state.preferences.opacity - 0.1, 0) }),
    stronger: () => remember(store, { opacity: Math.min(store.state.preferences.opacity + 0.1, 1) }),
    previousImage: () => void gallery.step(-1),
    nextImage: () => void gallery.step(1),
    done: () => mark(app, "done"),
    checked: () => mark(app, "checked"),
    sendBack: () => app.open.sendBack(),
    search: () => app.open.search(),
    same: () => app.open.same(),
    whole: () => store.set({ whole: !store.state.whole, same: null, active: null, selection: [], tool: "click" }),
    learn: () => app.open.learn(),
    statistics: () => app.open.statistics(),
    export: () => app.open.export(),
    help: () => app.open.help(),
  };
}

/** To the next image, unless it has that status, which is taken away. @param {App} app @param {string} status */
async function mark({ store, annotator, gallery }, status) {
  const is = store.state.image?.document.status === status;
  const answer = await annotator.setStatus(is ? (status === "done" ? "doing" : "done") : status);
  if (!answer || is || gallery.step(1)) return;
  const { todo, doing } = counts(store.state.images);
  const left = [todo && `${todo} to do`, doing && `${doing} begun`].filter(Boolean).join(", ");
  annotator.say(
    left ? `That was the last image of the list. Left: ${left}.` : "All images are done. Shift+E exports them.",
  );
}

/** @param {App} app */
function tools({ store, stage }) {
  const tool = (/** @type {string} */ name) => () => store.set({ tool: name });
  const grow = (/** @type {number} */ factor) => () =>
    store.set({ radius: resized(store.state.radius, factor) });
  return {
    click: tool("click"),
    box: tool("box"),
    scribble: tool("scribble"),
    brush: tool("brush"),
    eraser: tool("eraser"),
    polygon: tool("polygon"),
    hand: tool("hand"),
    smaller: grow(1 / 1.25),
    larger: grow(1.25),
    levelUp: () => stage.tools.walk(1),
    levelDown: () => stage.tools.walk(-1),
  };
}

/** @param {App} app */
function pointer({ stage }) {
  const nudge =
    (/** @type {number} */ dx, /** @type {number} */ dy) => (/** @type {KeyboardEvent | undefined} */ event) => {
      const step = event?.repeat ? 16 : 8;
      stage.nudge(dx * step, dy * step);
    };
  const click = (/** @type {number} */ label) => () => {
    if (!stage.pointer || !stage.byKeyboard) stage.nudge(0, 0);
    const at = stage.tools.here();
    if (at) stage.tools.click(at, label, {});
  };
  return {
    pointerLeft: nudge(-1, 0),
    pointerRight: nudge(1, 0),
    pointerUp: nudge(0, -1),
    pointerDown: nudge(0, 1),
    positive: click(1),
    negative: click(0),
  };
}

/** @param {App} app */
function objects(app) {
  const { store, annotator, stage, gallery } = app;
  const chosen = () => store.state.selection;
  const things = () => store.state.image?.document?.objects ?? [];
  const thing = (/** @type {number} */ id) => things().find((/** @type {any} */ each) => each.id === id);
  const flip = (/** @type {"locked" | "hidden"} */ key) => () =>
    chosen().length && annotator.edit(chosen(), { [key]: !thing(chosen()[0])?.[key] });
  const step = (/** @type {number} */ by) => () => {
    const list = things(),
      here = list.findIndex((/** @type {any} */ each) => each.id === store.state.active);
    if (list.length)
      annotator.take(list[(here < 0 ? (by > 0 ? 0 : list.length - 1) : here + by + list.length) % list.length].id);
  };
  return {
    finish: () => finish(app),
    cancel: () => letGo(app),
    dropClick: () => annotator.dropStep(stage.image?.object(store.state.active)?.steps.at(-1)),
    selectAll: () =>
      store.set({ selection: things().map((/** @type {any} */ each) => each.id), active: null }),
    remove: () => annotator.remove(chosen()),
    label: () => app.open.label(),
    ...copying(app),
    carry: () => carry(app),
    nextUnlabelled: async () => {
      const id = await gallery.nextUnlabelled();
      return id === undefined ? annotator.say("No object is without a label.") : annotator.take(id);
    },
    merge: () => annotator.merge(),
    split: () => annotator.split(),
    previousObject: step(-1),
    nextObject: step(1),
    toggleLock: flip("locked"),
    toggleHide: flip("hidden"),
    raise: () => store.state.active !== null && annotator.move(store.state.active, 1),
    lower: () => store.state.active !== null && annotator.move(store.state.active, -1),
  };
}

/** @param {App} app */
function copying({ store, annotator, gallery }) {
  const some = () => {
    const { selection, image } = store.state,
      objects = selection.length ? selection : image?.document.objects.map((/** @type {any} */ each) => each.id);
    return objects?.length ? { image: image.id, objects } : annotator.say("There is no object to copy.");
  };
  const put = async (/** @type {any} */ what) => {
    const answer = await annotator.act({ kind: "object.copy", source: what.image, objects: what.objects });
    const made = answer?.document.objects.slice(-what.objects.length).map((/** @type {any} */ each) => each.id);
    if (made) store.set({ selection: made, active: made.length === 1 ? made[0] : null });
  };
  const copy = () => {
    const copied = some();
    if (copied) store.set({ copied });
    if (copied) annotator.say(`${copied.objects.length} copied. Ctrl+V pastes, here or in another image.`);
  };
  return {
    copy,
    paste: () => (store.state.copied ? put(store.state.copied) : annotator.say("Nothing was copied yet.")),
    duplicate: () => {
      const what = some();
      return what && put(what);
    },
    copyOn: async () => {
      const what = some(),
        next = what && gallery.step(1);
      if (what && !next) annotator.say("This is the last image of the list.");
      await next;
      if (next && store.state.image?.id !== what.image) await put(what);
    },
  };
}

/** Take what *Find the same* shows, or end the object in hand. @param {App} app */
async function finish(app) {
  const { store, annotator } = app,
    { same } = store.state;
  if (!same) return annotator.take(null);
  await answerHere(app, likes(same));
  store.set({ same: null });
}

/** One thing at a time: a gesture, the outlines on offer, the object, the whole-image view. */
function letGo(/** @type {App} */ { store, annotator, stage }) {
  if (stage.tools.gesture || stage.tools.held || stage.tools.walked >= 0) return stage.tools.cancel();
  return annotator.turn(() => {
    const { offers, active, selection, whole, same } = store.state;
    if (same) store.set({ same: null });
    else if (offers) store.set({ offers: null });
    else if (active !== null || selection.length) annotator.take(null);
    else if (whole) store.set({ whole: false });
  });
}
