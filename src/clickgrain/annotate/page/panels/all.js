// Every panel and dialog, and the commands that open them.

import { startBanner } from "./banner.js";
import { startBar } from "./bar.js";
import { startDock } from "./dock.js";
import { startHint } from "./hint.js";
import { startImages } from "./images.js";
import { startObjects } from "./objects.js";
import { startToolbar } from "./toolbar.js";
import { commands } from "../commands.js";
import { openExport } from "../dialogs/export.js";
import { openHelp } from "../dialogs/help.js";
import { openLabel } from "../dialogs/label.js";
import { openLearn } from "../dialogs/learn.js";
import { openSame } from "../dialogs/same.js";
import { openStatistics } from "../dialogs/statistics.js";

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
  };
  const table = commands(app);
  app.run = (/** @type {string} */ id, /** @type {any} */ event) => table[id]?.(event);
  startHint(app);
  startBanner(app);
  startBar(app);
  startToolbar(app);
  startImages(app);
  startObjects(app);
  startDock(app);
}
