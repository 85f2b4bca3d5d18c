// Who changed what.

import { el, table } from "./dom.js";
import { moment, t } from "./words.js";
import { get } from "./server.js";

export const every = 15;

// One line for each thing that was set.
function details(detail) {
  if (detail === null || typeof detail !== "object") return detail === null ? "—" : String(detail);
  const lines = Object.entries(detail).map(([name, value]) => `${name}: ${typeof value === "string" ? value : JSON.stringify(value)}`);
  return lines.join("\n") || "—";
}

export async function show() {
  const entries = await get("/api/audit?limit=200");
  return el("section", { class: "panel" }, table([
    { name: t("when"), short: true, cell: (entry) => moment(entry.at) },
    { name: t("what"), cell: (entry) => entry.action },
    { name: t("subject"), cell: (entry) => entry.subject },
    { name: t("who"), cell: (entry) => entry.who },
    { name: t("address"), cell: (entry) => entry.origin || "—" },
    { name: t("details"), cell: (entry) => el("pre", null, details(entry.detail)) },
  ], entries, t("no_audit")));
}
