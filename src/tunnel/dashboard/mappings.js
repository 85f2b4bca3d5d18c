// The mappings: listed, made, changed, loaded anew, removed.

import { el, notice, table } from "./dom.js";
import { bytes, t } from "./words.js";
import { get, post } from "./server.js";
import { choice, confirm, field, form } from "./form.js";
import { refresh } from "./app.js";

export const every = 5;

export function stateMark(mapping) {
  const kind = { active: "good", waiting: "warn" }[mapping.state] ?? "bad";
  return el("span", { class: `mark ${kind}` }, t(`state_${mapping.state}`));
}

const target = (mapping) =>
  `${mapping.target_host.includes(":") ? `[${mapping.target_host}]` : mapping.target_host}:${mapping.target_port}`;

const way = (mapping) => (mapping.use_tunnel ? t("through_client", { client: mapping.client || t("usual_client") }) : t("directly"));

const lines = (text) => text.split(/[\s,]+/).filter(Boolean);

function rules(mapping) {
  return [
    field({
      name: "bandwidth_limit", label: t("limit"), hint: t("limit_hint"),
      control: el("input", { type: "number", min: 0, step: 1, value: mapping?.bandwidth_limit ?? 0 }),
    }),
    field({
      name: "access_rule", label: t("access"),
      control: choice(["disabled", "whitelist", "blacklist"].map((rule) => [rule, t(`access_${rule}`)]), mapping?.access_rule ?? "disabled"),
    }),
    field({
      name: "access_ips", label: t("networks"), hint: t("networks_hint"), wide: true,
      control: el("textarea", { spellcheck: "false", value: (mapping?.access_ips ?? []).join("\n") }),
    }),
  ];
}

const readRules = (body) => ({
  bandwidth_limit: Number(body.elements.bandwidth_limit.value || 0),
  access_rule: body.elements.access_rule.value,
  access_ips: lines(body.elements.access_ips.value),
});

// Where visitors are led: the fields of a new mapping, or of one that there is.
async function ways(mapping) {
  const clients = await get("/api/clients");
  const names = el("datalist", { id: "client-names" }, clients.map((client) => el("option", { value: client.name })));
  const input = (type, more) => el("input", { type, ...more });
  return [
    field({ name: "name", label: t("name"), hint: t("optional"), control: input("text", { maxlength: 64, value: mapping?.name ?? "" }) }),
    field({ name: "use_tunnel", label: t("way"), control: choice([["true", t("through_tunnel")], ["false", t("directly")]], String(mapping?.use_tunnel ?? true)) }),
    field({ name: "client", label: t("client"), hint: t("client_hint"), control: input("text", { list: "client-names", maxlength: 64, value: mapping?.client ?? "" }) }),
    field({ name: "target_host", label: t("target_host"), hint: t("target_host_hint"), control: input("text", { spellcheck: "false", value: mapping?.target_host ?? "" }) }),
    field({ name: "target_port", label: t("target_port"), hint: mapping ? null : t("target_port_hint"),
      control: input("number", { min: 1, max: 65535, required: Boolean(mapping), value: mapping?.target_port ?? "" }) }),
    field({ name: "protocol", label: t("protocol"), control: choice([["tcp", "TCP"], ["udp", "UDP"]], mapping?.protocol ?? "tcp") }),
    field({ name: "proxy_protocol", label: t("proxy_header"), hint: t("proxy_hint"),
      control: choice([["", t("none")], ["v1", "v1"], ["v2", "v2"]], mapping?.proxy_protocol ?? "") }),
    names,
  ];
}

const value = (body, name) => body.elements[name].value.trim();

async function create() {
  const port = field({ name: "source_port", label: t("port"), hint: t("port_hint"),
    control: el("input", { type: "number", min: 1, max: 65535, required: true }) });
  const made = await form(t("new_mapping"), [port, ...(await ways(null)), ...rules(null)], t("create"), (body) => {
    const wish = {
      source_port: Number(value(body, "source_port")), use_tunnel: value(body, "use_tunnel") === "true",
      protocol: value(body, "protocol"), ...readRules(body),
    };
    for (const name of ["name", "client", "target_host", "proxy_protocol"]) if (value(body, name)) wish[name] = value(body, name);
    if (value(body, "target_port")) wish.target_port = Number(value(body, "target_port"));
    return post("/api/mapping/create", wish);
  });
  if (made) notice(t("created"));
  refresh();
}

// Sends what was changed and nothing else: another target or client ends visitors, a rule does not.
async function edit(mapping) {
  const fields = [el("p", { class: "wide quiet" }, t("edit_text")), ...(await ways(mapping)), ...rules(mapping)];
  const done = await form(t("edit_mapping", { port: mapping.source_port }), fields, t("save"), (body) => {
    const wish = { port: mapping.source_port, ...readRules(body) };
    const now = {
      use_tunnel: value(body, "use_tunnel") === "true", target_port: Number(value(body, "target_port")),
    };
    for (const name of ["name", "client", "target_host", "protocol", "proxy_protocol"]) now[name] = value(body, name);
    now.target_host ||= "127.0.0.1";
    for (const [name, wanted] of Object.entries(now)) if (wanted !== mapping[name]) wish[name] = wanted;
    return post("/api/mapping/update", wish);
  });
  if (done) notice(t("saved"));
  refresh();
}

async function reload(mapping) {
  const done = await confirm(t("reload"), t("reload_text", { port: mapping.source_port }), t("reload"),
    () => post("/api/mapping/reload", { port: mapping.source_port }));
  if (done) notice(t("reloaded"));
  refresh();
}

async function remove(mapping) {
  const done = await confirm(t("remove"), t("remove_text", { port: mapping.source_port, target: target(mapping) }), t("remove"),
    () => post("/api/mapping/remove", { port: mapping.source_port }));
  if (done) notice(t("removed"));
  refresh();
}

function actions(mapping) {
  const button = (name, act, kind) => el("button", {
    class: kind, onclick: () => act(mapping), "data-focus": `${name}-${mapping.source_port}`,
    "aria-label": `${t(name)} ${mapping.source_port}`,
  }, t(name));
  return el("div", { class: "row" }, button("edit", edit), button("reload", reload), button("remove", remove, "danger"));
}

export async function show() {
  const list = await get("/api/mapping/list");
  return el("section", { class: "panel" },
    el("div", { class: "row between" }, el("span", { class: "quiet" }, t("count_mappings", { count: list.length })),
      el("button", { class: "main", onclick: create, "data-focus": "create" }, t("new_mapping"))),
    table([
      { name: t("port"), short: true, cell: (mapping) => `${mapping.source_port}/${mapping.protocol}` },
      { name: t("name"), cell: (mapping) => mapping.name || "—" },
      { name: t("target"), cell: (mapping) => [target(mapping), el("br"), el("span", { class: "quiet" }, way(mapping))] },
      { name: t("state"), cell: (mapping) => [stateMark(mapping), mapping.error ? el("p", { class: "problem" }, mapping.error) : null] },
      { name: t("limit"), cell: (mapping) => (mapping.bandwidth_limit ? bytes(mapping.bandwidth_limit, true) : t("none")) },
      { name: t("access"), cell: (mapping) => (mapping.access_rule === "disabled" ? t("access_disabled")
        : `${t(`access_${mapping.access_rule}`)}: ${(mapping.access_ips ?? []).join(", ") || "—"}`) },
      { name: t("actions"), actions: true, cell: actions },
    ], list, t("no_mappings")));
}
