// The page: what it knows, and the parts put together.

import { Annotator } from "./annotator.js";
import { ApiError, get } from "./api.js";
import { Stage } from "./canvas/stage.js";
import { Store } from "./core/store.js";
import { h } from "./dom.js";
import { Gallery } from "./gallery.js";
import { startKeys } from "./keyboard.js";
import { Live } from "./live.js";
import { startPanels } from "./panels/all.js";
import { loadPreferences } from "./preferences.js";

/**
 * @typedef {object} State
 * @property {any} project @property {any} model @property {string | null} notice
 * @property {{id: number, name: string, colour: string}[]} labels @property {any} projectDocument
 * @property {any[]} images @property {import("./image.js").OpenImage | null} image @property {number} revision counts changes of the open image
 * @property {"click" | "box" | "scribble" | "brush" | "eraser" | "hand"} tool @property {0 | 1} polarity
 * @property {number} level @property {boolean} auto @property {number} radius
 * @property {number | null} active object in hand @property {number[]} selection
 * @property {any[] | null} offers @property {boolean} whole @property {number | null} label for new objects
 * @property {{waiting: number, problem: any}} saving @property {any} banner @property {boolean} noticeRead @property {any[]} jobs
 * @property {any} preferences @property {boolean} opening @property {boolean} compiling on the server, for its first image ever
 */

/** @type {State} */
const INITIAL = {
  project: null,
  model: null,
  notice: null,
  labels: [],
  projectDocument: null,
  images: [],
  image: null,
  revision: 0,
  tool: "click",
  polarity: 1,
  level: 0.6,
  auto: false,
  radius: 8,
  active: null,
  selection: [],
  offers: null,
  whole: false,
  label: null,
  saving: { waiting: 0, problem: null },
  banner: null,
  noticeRead: false,
  jobs: [],
  preferences: loadPreferences(),
  opening: true,
  compiling: false,
};

async function start() {
  const store = /** @type {Store<State>} */ (new Store(INITIAL));
  const gallery = new Gallery(store);
  const annotator = new Annotator(store, gallery);
  const stage = new Stage(store, annotator);
  const live = new Live(store, gallery, annotator);
  const app = { store, gallery, annotator, stage, live };
  startPanels(app);
  startKeys(app);
  await live.begin();
  await gallery.openFirst();
  if (matchMedia("(pointer: coarse)").matches) annotator.say("Tap to take a region. A long press takes away.");
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
