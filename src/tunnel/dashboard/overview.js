// How the server is, at a glance.

import { el, table } from "./dom.js";
import { bytes, number, t } from "./words.js";
import { get, health } from "./server.js";
import { stateMark } from "./mappings.js";

export const every = 5;

export async function show() {
  const [state, list, clients, traffic] = await Promise.all([
    health(), get("/api/mapping/list"), get("/api/clients"), get("/api/stats/traffic"),
  ]);
  const live = traffic.mappings.reduce((sum, mapping) => sum + mapping.live, 0);
  const troubled = list.filter((mapping) => mapping.state !== "active");
  const tile = (name, value, kind) => el("div", { class: "tile" }, el("b", { class: kind }, value), el("span", null, t(name)));
  return [
    el("div", { class: "tiles" },
      tile("server", t(state.status === "ok" ? "ok" : "degraded"), state.status === "ok" ? "good" : "bad"),
      tile("clients", number(clients.length)),
      tile("mappings", number(list.length)),
      tile("live_connections", number(live)),
      tile("to_target", bytes(traffic.total_sent)),
      tile("to_visitor", bytes(traffic.total_received)),
      tile("version", state.version)),
    el("section", { class: "panel" }, el("h2", null, t("needs_attention")), table([
      { name: t("port"), short: true, cell: (mapping) => mapping.source_port },
      { name: t("name"), cell: (mapping) => mapping.name || "—" },
      { name: t("state"), cell: stateMark },
      { name: t("reason"), cell: (mapping) => mapping.error ?? (mapping.state === "waiting" ? t("no_client") : "—") },
    ], troubled, t("all_well"))),
  ];
}
