// Every panel and dialog, and the commands that open them.

import { startBanner } from "./banner.js";
import { startBar } from "./bar.js";
import { startCoach } from "./coach.js";
import { startDock } from "./dock.js";
import { startHint } from "./hint.js";
import { startImages } from "./images.js";
import { startObjects } from "./objects.js";
import { startEdges } from "./edges.js";
import { startToolbar } from "./toolbar.js";
import { startTeam } from "../team.js";
import { commands } from "../commands.js";
import { COMMANDS } from "../core/keys.js";
import { openExport } from "../dialogs/export.js";
import { openHelp } from "../dialogs/help.js";
import { openLabel } from "../dialogs/label.js";
import { openLearn } from "../dialogs/learn.js";
import { openOthers, openSame } from "../dialogs/same.js";
import { openStatistics } from "../dialogs/statistics.js";

const AT_ONCE = new Set(
  COMMANDS.filter(({ group }) => ["Tools", "Pointer", "View", "More"].includes(group)).map(({ id }) => id),
);
for (const id of ["label", "search", "cancel", "sendBack"]) AT_ONCE.add(id);
for (const id of ["whole", "same"]) AT_ONCE.delete(id);

/** @param {any} app */
export function startPanels(app) {
  app.open = {
    export: () => openExport(app),
    help: () => openHelp(app),
    label: (/** @type {any} */ options) => openLabel(app, options),
    learn: () => openLearn(app),
    same: () => openSame(app),
    statistics: () => openStatistics(app),
    search: () => {},
    resumed: {
      same: (/** @type {any} */ job) => openOthers(app, job.result, job),
      import: () => openExport(app, true),
    },
  };
  const table = commands(app);
  // what looks, points or opens a dialog is answered at once; what changes something waits for its turn
  app.run = (/** @type {string} */ id, /** @type {any} */ event) =>
    AT_ONCE.has(id) ? table[id]?.(event) : app.annotator.turn(() => table[id]?.(event));
  startHint(app);
  startBanner(app);
  startBar(app);
  startToolbar(app);
  startImages(app);
  startObjects(app);
  startDock(app);
  startCoach(app);
  startEdges(app);
  startTeam(app);
}
