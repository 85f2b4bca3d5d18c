// Forms in dialogs: labelled fields, and the server's refusal beside the field that it names.

import { dialog, el } from "./dom.js";
import { t } from "./words.js";

let serial = 0;

// A field: {name, label, hint?, wide?, control} with control an input, select or textarea.
export function field({ name, label, hint, wide, control }) {
  serial += 1;
  const id = `field-${serial}`;
  control.id = id;
  control.name = name;
  control.setAttribute("aria-describedby", `${id}-problem`);
  return el("div", { class: wide ? "wide" : undefined, "data-field": name },
    el("label", { for: id }, label, hint ? el("span", { class: "hint" }, hint) : null),
    control, el("p", { class: "problem", id: `${id}-problem`, role: "alert" }));
}

export function choice(options, chosen) {
  return el("select", null, options.map(([value, text]) =>
    el("option", { value, selected: value === chosen }, text)));
}

// Shows a form; `send` gets the form and resolves once the server has taken it. Resolves to true when that happened.
export function form(title, fields, submit, send, danger = false) {
  return dialog(title, (close) => {
    const general = el("p", { class: "problem", role: "alert" });
    const button = el("button", { class: danger ? "danger" : "main" }, submit);
    const body = el("form", {
      onsubmit: async (event) => {
        event.preventDefault();
        general.textContent = "";
        for (const problem of body.querySelectorAll("[data-field] .problem")) problem.textContent = "";
        for (const control of body.querySelectorAll("[aria-invalid]")) control.removeAttribute("aria-invalid");
        button.disabled = true;
        try {
          await send(body);
          close(true);
        } catch (error) {
          const place = error.field ? body.querySelector(`[data-field="${CSS.escape(error.field)}"]`) : null;
          const control = place?.querySelector("input, select, textarea");
          (place?.querySelector(".problem") ?? general).textContent = error.message;
          control?.setAttribute("aria-invalid", "true");
          control?.focus();
        } finally {
          button.disabled = false;
        }
      },
    }, el("h2", null, title), el("div", { class: "fields" }, fields), general,
    el("div", { class: "row" }, el("button", { type: "button", onclick: () => close(false) }, t("cancel")), button));
    return body;
  });
}

// Asks before something that cannot be taken back.
export const confirm = (title, text, submit, act) =>
  form(title, [el("p", { class: "wide" }, text)], submit, act, true);
