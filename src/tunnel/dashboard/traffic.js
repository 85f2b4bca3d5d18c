// How much went through, over time and in all.

import { el, table } from "./dom.js";
import { bytes, number, t } from "./words.js";
import { get } from "./server.js";
import { plot } from "./plot.js";
import { choice } from "./form.js";
import { refresh } from "./app.js";

export const every = 15;

// How long each is, and how long one point of its plot, in seconds.
const PERIODS = { last_hour: [3600, 60], last_day: [86400, 300], last_week: [604800, 1800] };

let port = "";
let period = "last_hour";

function chooser(label, control, act) {
  control.setAttribute("aria-label", label);
  control.dataset.focus = label;
  control.addEventListener("change", () => { act(control.value); control.blur(); refresh(); });
  return control;
}

async function history() {
  const [length, step] = PERIODS[period];
  try {
    const points = await get(`/api/stats/history?limit=${length / step}&step=${step}${port ? `&port=${port}` : ""}`);
    const from = Date.now() / 1000 - length;
    return points.map((point) => ({
      at: Date.parse(point.recorded_at) / 1000, seconds: point.seconds, up: point.bytes_sent, down: point.bytes_received,
    })).filter((point) => point.at >= from).sort((one, other) => one.at - other.at);
  } catch (error) {
    if (error.code === "stats_disabled") return null;
    throw error;
  }
}

export async function show() {
  const [traffic, points] = await Promise.all([get("/api/stats/traffic"), history()]);
  const title = port ? t("traffic_of", { port }) : t("traffic_of_all");
  const names = traffic.mappings.map((mapping) => [String(mapping.port), `${mapping.port} ${mapping.name}`.trim()]);
  return [
    el("section", { class: "panel" },
      el("div", { class: "row between" }, el("h2", null, title),
        el("div", { class: "row" },
          chooser(t("port"), choice([["", t("all_mappings")], ...names], port), (value) => { port = value; }),
          chooser(t("period"), choice(Object.keys(PERIODS).map((name) => [name, t(name)]), period), (value) => { period = value; }))),
      points ? plot(points, title) : el("p", { class: "empty" }, t("stats_off"))),
    el("section", { class: "panel" }, el("h2", null, t("totals")), table([
      { name: t("port"), short: true, cell: (mapping) => mapping.port },
      { name: t("name"), cell: (mapping) => mapping.name || "—" },
      { name: t("live_connections"), number: true, cell: (mapping) => number(mapping.live) },
      { name: t("connections"), number: true, cell: (mapping) => number(mapping.connections) },
      { name: t("to_target"), number: true, cell: (mapping) => bytes(mapping.bytes_sent) },
      { name: t("to_visitor"), number: true, cell: (mapping) => bytes(mapping.bytes_received) },
    ], traffic.mappings, t("no_mappings"))),
  ];
}
