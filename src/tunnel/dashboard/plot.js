// Traffic over time as SVG: two lines, told apart by colour and by dashes.

import { el, svg } from "./dom.js";
import { bytes, language, t } from "./words.js";

const WIDTH = 720;
const HEIGHT = 220;
const LEFT = 78;
const BOTTOM = 26;
const TOP = 10;
const RIGHT = 12;

function ceiling(value) {
  if (value <= 0) return 1024;
  const unit = 1024 ** Math.floor(Math.log(value) / Math.log(1024));
  const steps = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1024];
  return unit * steps.find((step) => step * unit >= value);
}

// `points` are {at (seconds), seconds, up, down (bytes in that time)}, oldest first.
export function plot(points, title) {
  if (points.length < 2) return el("p", { class: "empty" }, t("no_history"));
  const from = points[0].at;
  const to = points[points.length - 1].at;
  const rate = (point, side) => point[side] / Math.max(1, point.seconds);
  const top = ceiling(Math.max(...points.map((point) => Math.max(rate(point, "up"), rate(point, "down")))));
  const x = (at) => LEFT + ((at - from) / Math.max(1, to - from)) * (WIDTH - LEFT - RIGHT);
  const y = (value) => HEIGHT - BOTTOM - (value / top) * (HEIGHT - BOTTOM - TOP);
  const line = (side) => points.map((point, index) =>
    `${index === 0 ? "M" : "L"}${x(point.at).toFixed(1)} ${y(rate(point, side)).toFixed(1)}`).join("");
  const style = to - from > 86400 ? { month: "numeric", day: "numeric", hour: "2-digit" } : { hour: "2-digit", minute: "2-digit" };
  const clock = new Intl.DateTimeFormat(language(), style);
  const levels = [0, 0.25, 0.5, 0.75, 1].map((share) => share * top);
  const times = [0, 0.5, 1].map((share) => from + share * (to - from));
  return el("figure", null,
    svg("svg", { class: "plot", viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": title },
      levels.map((level) => [
        svg("line", { class: "grid", x1: LEFT, x2: WIDTH - RIGHT, y1: y(level), y2: y(level) }),
        svg("text", { x: LEFT - 6, y: y(level) + 4, "text-anchor": "end" }, bytes(level, true)),
      ]),
      times.map((time, index) => svg("text", {
        x: x(time), y: HEIGHT - 8, "text-anchor": ["start", "middle", "end"][index],
      }, clock.format(new Date(time * 1000)))),
      svg("path", { class: "up", d: line("up") }),
      svg("path", { class: "down", d: line("down") })),
    el("figcaption", null, el("span", { class: "up" }, t("to_target")), el("span", { class: "down" }, t("to_visitor"))));
}
