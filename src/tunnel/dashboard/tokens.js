// The tokens of clients: listed, made, revoked. A new one is shown once.

import { dialog, el, notice, table } from "./dom.js";
import { moment, t } from "./words.js";
import { get, post } from "./server.js";
import { confirm, field, form } from "./form.js";
import { refresh } from "./app.js";

export const every = 10;

async function create() {
  let made = null;
  const fields = [
    field({ name: "name", label: t("name"), control: el("input", { type: "text", maxlength: 31, required: true }) }),
    field({ name: "ports", label: t("ports"), hint: t("ports_hint"), control: el("input", { type: "text", spellcheck: "false" }) }),
  ];
  await form(t("new_token"), fields, t("create"), async (body) => {
    const ports = body.elements.ports.value.split(/[\s,]+/).filter(Boolean);
    made = await post("/api/tokens/create", { name: body.elements.name.value.trim(), ports });
  });
  if (made) {
    await dialog(t("new_token"), (close) => [
      el("h2", null, made.name), el("p", null, t("token_shown")),
      el("code", { class: "secret", tabindex: 0 }, `portwright tunnel client --join ${made.join_code}`),
      el("p", { class: "row" }, el("button", { class: "main", onclick: () => close() }, t("close"))),
    ]);
  }
  refresh();
}

async function revoke(token) {
  const done = await confirm(t("revoke"), t("revoke_text", { name: token.name }), t("revoke"),
    () => post("/api/tokens/revoke", { token: token.id }));
  if (done) notice(t("revoked_now"));
  refresh();
}

export async function show() {
  const tokens = await get("/api/tokens");
  return el("section", { class: "panel" },
    el("div", { class: "row between" }, el("span"),
      el("button", { class: "main", onclick: create, "data-focus": "create" }, t("new_token"))),
    table([
      { name: t("name"), cell: (token) => token.name },
      { name: t("ports"), cell: (token) => (token.ports.length ? token.ports.join(", ") : t("all_ports")) },
      { name: t("created_at"), short: true, cell: (token) => moment(token.created_at) },
      { name: t("last_seen"), short: true, cell: (token) => moment(token.last_seen_at) },
      { name: t("state"), cell: (token) => el("span", { class: `mark ${token.revoked_at ? "bad" : "good"}` }, t(token.revoked_at ? "revoked" : "valid")) },
      { name: t("actions"), actions: true, cell: (token) => (token.revoked_at ? null : el("div", { class: "row" }, el("button", {
        class: "danger", onclick: () => revoke(token), "data-focus": `revoke-${token.id}`, "aria-label": `${t("revoke")} ${token.name}`,
      }, t("revoke")))) },
    ], tokens, t("no_tokens")));
}
