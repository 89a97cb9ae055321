// The page: what it knows, and the parts put together.

import { Annotator } from "./annotator.js";
import { ApiError, get } from "./api.js";
import { resumeCarrying } from "./carrying.js";
import { NEUTRAL } from "./canvas/tones.js";
import { Stage } from "./canvas/stage.js";
import { Store } from "./core/store.js";
import { TOUCH, h } from "./dom.js";
import { Gallery } from "./gallery.js";
import { startKeys } from "./keyboard.js";
import { resumeWork } from "./longwork.js";
import { Live } from "./live.js";
import { startPanels } from "./panels/all.js";
import { keep, loadPreferences, projectKey, recall } from "./preferences.js";

/**
 * @typedef {object} State
 * @property {any} project @property {any} model @property {any[]} models that the project has used
 * @property {string | null} notice @property {string} user "" if unknown
 * @property {{id: number, name: string, colour: string}[]} labels @property {any} projectDocument
 * @property {{id: number, name: string, reason: string} | null} broken image that cannot be opened, in place of `image`
 * @property {{words: string, status: string}} filter of the list of images
 * @property {any[]} images @property {import("./image.js").OpenImage | null} image @property {number} revision counts changes of the open image
 * @property {"click" | "box" | "scribble" | "brush" | "eraser" | "polygon" | "hand"} tool @property {0 | 1} polarity
 * @property {number} level @property {boolean} auto @property {number} radius
 * @property {number | null} active object in hand @property {number[]} selection
 * @property {import("./canvas/tones.js").Tones} tones of the view
 * @property {{image: number, objects: number[]} | null} copied
 * @property {number | null} lit object that the pointer is on, over the image or in the list
 * @property {{job: any, object: any, left: any[], least: number} | null} same likes of an object in the open image
 * @property {any} carry the job that carries an object on, and its end until another image is opened
 * @property {any[] | null} offers @property {number | null} offered the one that is pointed at @property {boolean} whole @property {number | null} label for new objects
 * @property {{waiting: number, problem: any}} saving @property {{undo: boolean, redo: boolean}} moves of this tab, wherever they went @property {any} banner @property {boolean} noticeRead @property {any[]} jobs
 * @property {any} preferences @property {boolean} opening @property {boolean} compiling on the server, for its first image ever
 */

/** @type {State} */
const INITIAL = {
  project: null,
  model: null,
  models: [],
  notice: null,
  user: "",
  labels: [],
  projectDocument: null,
  images: [],
  image: null,
  broken: null,
  filter: { words: "", status: "all" },
  revision: 0,
  tool: "click",
  polarity: 1,
  level: 0.6,
  auto: true,
  radius: 8,
  active: null,
  selection: [],
  tones: NEUTRAL,
  lit: null,
  same: null,
  carry: null,
  copied: null,
  offers: null,
  offered: null,
  whole: false,
  label: null,
  saving: { waiting: 0, problem: null },
  moves: { undo: false, redo: false },
  banner: null,
  noticeRead: false,
  jobs: [],
  preferences: loadPreferences(),
  opening: true,
  compiling: false,
};

/** Auto, level, and the label for new objects are as they were left. @param {Store<State>} store */
function remembered(store) {
  const { label } = recall(projectKey(store.state));
  if (store.state.labels.some((each) => each.id === label)) store.set({ label });
  store.on(["auto", "level"], ({ auto, level }) => keep("clickgrain.tools", { auto, level }));
  store.on(["label"], (state) => keep(projectKey(state), { label: state.label }));
}

async function start() {
  const { auto = INITIAL.auto, level = INITIAL.level } = recall("clickgrain.tools");
  const store = /** @type {Store<State>} */ (new Store({ ...INITIAL, auto, level }));
  const gallery = new Gallery(store);
  const annotator = new Annotator(store, gallery);
  const stage = new Stage(store, annotator);
  const live = new Live(store, gallery, annotator);
  const app = { store, gallery, annotator, stage, live };
  startPanels(app);
  startKeys(app);
  await live.begin();
  remembered(store);
  await gallery.openFirst();
  addEventListener("hashchange", () => {
    const named = gallery.named();
    if (named) annotator.turn(() => void gallery.show(named.id));
    else history.replaceState(null, "", `#${gallery.goal}`);
  });
  resumeCarrying(app);
  resumeWork(app);
  if (TOUCH) annotator.say("Tap to take a region. A long press takes away.");
  // for tests and the benchmark; the page itself never reads it
  Object.assign(window, { clickgrain: app });
}

start().catch((error) => {
  const words = error instanceof ApiError ? error.message : `The page could not start: ${error.message ?? error}`;
  document.body.append(h("div", { class: "banner standing", role: "alert" }, words));
  if (!(error instanceof ApiError)) throw error;
  const again = setInterval(
    () =>
      get("/api/state").then(
        () => (clearInterval(again), location.reload()),
        () => {},
      ),
    2000,
  );
});
