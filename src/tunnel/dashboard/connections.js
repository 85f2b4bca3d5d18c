// The connections that are open now.

import { el, table } from "./dom.js";
import { bytes, moment, number, span, t } from "./words.js";
import { get } from "./server.js";

export const every = 3;

const SHOWN_MAX = 200;

export async function show() {
  const { total, mappings } = await get("/api/stats/connections");
  const all = mappings.flatMap((mapping) => mapping.active_connections.map((one) => ({ ...one, port: mapping.source_port })));
  const carried = (one) => one.bytes_sent + one.bytes_received;
  const shown = all.sort((one, other) => carried(other) - carried(one)).slice(0, SHOWN_MAX);
  return el("section", { class: "panel" },
    total > shown.length
      ? el("p", { class: "quiet" }, t("count_shown", { shown: number(shown.length), count: number(total) })) : null,
    table([
      { name: t("port"), short: true, cell: (one) => one.port },
      { name: t("visitor"), cell: (one) => one.client_addr },
      { name: t("client"), cell: (one) => one.client || t("directly") },
      { name: t("since"), short: true, cell: (one) => moment(one.connected_at) },
      { name: t("duration"), number: true, cell: (one) => span(one.duration) },
      { name: t("to_target"), number: true, cell: (one) => bytes(one.bytes_sent) },
      { name: t("to_visitor"), number: true, cell: (one) => bytes(one.bytes_received) },
      { name: t("rate"), number: true, cell: (one) => bytes(one.rate_sent + one.rate_received, true) },
    ], shown, t("no_connections")));
}
