// What the server logged in the last minutes.

import { el, table } from "./dom.js";
import { moment, t } from "./words.js";
import { get } from "./server.js";

export const every = 5;

const KIND = { error: "bad", warn: "warn" };

export async function show() {
  const lines = await get("/api/logs");
  return el("section", { class: "panel" }, table([
    { name: t("when"), short: true, cell: (line) => moment(line.at_ms / 1000) },
    { name: t("level"), short: true, cell: (line) => el("span", { class: KIND[line.level] ?? "quiet" }, line.level) },
    { name: t("text"), cell: (line) => el("pre", null, line.message) },
  ], [...lines].reverse(), t("no_logs")));
}
