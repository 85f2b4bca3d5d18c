// The page: sign in, the frame with its navigation, and which view is shown.

import { el, notice } from "./dom.js";
import { language, preferred, speak, t } from "./words.js";
import * as server from "./server.js";
import * as overview from "./overview.js";
import * as mappings from "./mappings.js";
import * as connections from "./connections.js";
import * as traffic from "./traffic.js";
import * as clients from "./clients.js";
import * as tokens from "./tokens.js";
import * as audit from "./audit.js";
import * as logs from "./logs.js";

// Each view has show(), which returns its content and may be called again at `every` seconds.
const VIEWS = { overview, mappings, connections, traffic, clients, tokens, audit, logs };

const app = document.getElementById("app");
let shown = null;
let timer = null;

const wanted = () => {
  const name = location.hash.replace(/^#\//, "");
  return name in VIEWS ? name : "overview";
};

function languages() {
  return el("select", {
    "aria-label": t("language"),
    onchange: (event) => speak(event.target.value).then(draw, (error) => notice(error.message, true)),
  }, [["en", "English"], ["zh-CN", "中文"]].map(([tag, name]) =>
    el("option", { value: tag, selected: tag === language() }, name)));
}

function themes() {
  const root = document.documentElement;
  return el("select", {
    "aria-label": t("theme"),
    onchange: (event) => {
      if (event.target.value === "auto") root.removeAttribute("data-theme");
      else root.setAttribute("data-theme", event.target.value);
    },
  }, ["auto", "light", "dark"].map((name) =>
    el("option", { value: name, selected: (root.getAttribute("data-theme") ?? "auto") === name }, t(`theme_${name}`))));
}

function signIn(why) {
  clearTimeout(timer);
  shown = null;
  document.title = "Portwright";
  const problem = el("p", { class: "problem", role: "alert" }, why ?? "");
  const key = el("input", { type: "password", name: "key", id: "key", autocomplete: "off", required: true });
  const enter = async (event) => {
    event.preventDefault();
    problem.textContent = "";
    try {
      await server.enter(key.value.trim());
      draw();
    } catch (error) {
      problem.textContent = error.message;
      key.setAttribute("aria-invalid", "true");
      key.select();
    }
  };
  app.replaceChildren(el("main", { class: "login" },
    el("h1", null, "Portwright"),
    el("form", { class: "panel", onsubmit: enter },
      el("label", { for: "key" }, t("api_key"), el("span", { class: "hint" }, t("key_stays"))),
      key, problem,
      el("div", { class: "row" }, languages(), el("button", { class: "main" }, t("sign_in"))))));
  key.focus();
}

function frame() {
  const here = wanted();
  return [
    el("header", { class: "top" },
      el("strong", null, "Portwright"),
      el("div", { class: "tools" }, languages(), themes(),
        el("button", { onclick: () => { server.forget(); signIn(); } }, t("sign_out"))),
      el("nav", { "aria-label": t("views") }, Object.keys(VIEWS).map((name) =>
        el("a", { href: `#/${name}`, "aria-current": name === here ? "page" : undefined }, t(name))))),
    el("main", null,
      el("h1", { tabindex: -1 }, t(here)),
      el("div", { id: "view" }, el("p", { class: "quiet" }, t("loading")))),
  ];
}

// Draws the frame, and the view in it.
async function draw() {
  if (!server.hasKey()) return signIn();
  const moved = shown !== wanted();
  shown = wanted();
  document.title = `${t(shown)} – Portwright`;
  app.replaceChildren(...frame());
  if (moved) app.querySelector("h1").focus();
  await refresh();
}

// Draws the view again; whoever is typing or choosing in it is left alone.
export async function refresh() {
  clearTimeout(timer);
  const name = shown;
  if (name === null) return;
  const place = document.getElementById("view");
  try {
    const busy = place.contains(document.activeElement) && document.activeElement.matches("input, select, textarea");
    if (!busy && !document.hidden && !document.querySelector("dialog[open]")) {
      const content = await VIEWS[name].show();
      if (shown !== name || !place.isConnected) return;
      const focused = place.contains(document.activeElement) ? document.activeElement.dataset.focus : undefined;
      place.replaceChildren(...[content].flat());
      if (focused) [...place.querySelectorAll("[data-focus]")].find((one) => one.dataset.focus === focused)?.focus();
    }
  } catch (error) {
    if (!server.hasKey()) return;
    if (place.isConnected) place.replaceChildren(el("p", { class: "problem", role: "alert" }, error.message || t("unreachable")));
  }
  if (VIEWS[name].every && shown === name) timer = setTimeout(refresh, VIEWS[name].every * 1000);
}

server.onLost(() => signIn(t("signed_out")));
window.addEventListener("hashchange", draw);
document.addEventListener("visibilitychange", () => { if (!document.hidden && shown) refresh(); });
speak(preferred()).then(draw, (error) => notice(error.message, true));
