// Elements made of text nodes alone: nothing that comes from the server is ever read as markup.

const SVG = "http://www.w3.org/2000/svg";

function fill(element, properties, children) {
  for (const [name, value] of Object.entries(properties ?? {})) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "value" || name === "checked" || name === "disabled") element[name] = value;
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  for (const child of children.flat(Infinity)) {
    if (child === undefined || child === null || child === false) continue;
    element.append(child instanceof Node ? child : document.createTextNode(String(child)));
  }
  return element;
}

export function el(name, properties, ...children) {
  return fill(document.createElement(name), properties, children);
}

export function svg(name, properties, ...children) {
  return fill(document.createElementNS(SVG, name), properties, children);
}

export function notice(text, bad = false) {
  const line = el("p", { class: bad ? "bad" : undefined, role: bad ? "alert" : undefined }, text);
  document.getElementById("notices").append(line);
  setTimeout(() => line.remove(), bad ? 10000 : 5000);
}

// A table that becomes a list of cards on a narrow screen. `columns` are {name, cell, number?, short?, actions?}.
export function table(columns, rows, empty) {
  if (rows.length === 0) return el("p", { class: "empty" }, empty);
  const kind = (column) => (column.number ? "number" : column.short ? "short" : column.actions ? "actions" : undefined);
  return el("div", { class: "scroll" }, el("table", { class: "cards" },
    el("thead", null, el("tr", null, columns.map((column) =>
      el("th", { scope: "col", class: kind(column) }, column.name)))),
    el("tbody", null, rows.map((row) => el("tr", null, columns.map((column) =>
      el("td", { "data-name": column.name, class: kind(column) }, el("div", null, column.cell(row)))))))));
}

// Shows a dialog until it is closed. `build` gets a function that closes it with a result.
export function dialog(label, build) {
  return new Promise((resolve) => {
    const opener = document.activeElement;
    let result;
    const box = el("dialog", { "aria-label": label });
    const close = (value) => { result = value; box.close(); };
    box.append(...[build(close)].flat());
    box.addEventListener("close", () => {
      box.remove();
      if (opener instanceof HTMLElement && opener.isConnected) opener.focus();
      resolve(result);
    });
    document.body.append(box);
    box.showModal();
  });
}
