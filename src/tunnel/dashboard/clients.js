// Who is connected.

import { el, table } from "./dom.js";
import { moment, number, t } from "./words.js";
import { get } from "./server.js";

export const every = 5;

export async function show() {
  const clients = await get("/api/clients");
  return el("section", { class: "panel" }, table([
    { name: t("name"), cell: (client) => client.name },
    { name: t("address"), cell: (client) => client.address },
    { name: t("since"), short: true, cell: (client) => moment(client.connected_at) },
    { name: t("streams"), number: true, cell: (client) => number(client.streams) },
    { name: t("ports"), cell: (client) => (client.ports.length ? client.ports.join(", ") : t("all_ports")) },
    { name: t("program"), cell: (client) => client.agent ?? t("version_1") },
  ], clients, t("no_clients")));
}
