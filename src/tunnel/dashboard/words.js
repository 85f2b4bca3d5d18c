// The texts of the page, which the server has in both languages, and numbers as people write them.

let texts = {};
let lang = "en";

export async function speak(wanted) {
  const answer = await fetch(`/dashboard/words/${wanted}.json`);
  if (!answer.ok) throw new Error(answer.statusText);
  texts = await answer.json();
  lang = wanted;
  document.documentElement.lang = wanted;
}

export const language = () => lang;

export const preferred = () =>
  (navigator.languages ?? [navigator.language]).map((tag) => tag.toLowerCase())
    .map((tag) => (tag.startsWith("zh") ? "zh-CN" : tag.startsWith("en") ? "en" : null)).find(Boolean) ?? "en";

export function t(key, values = {}) {
  const text = texts[key] ?? key;
  return text.replace(/\{(\w+)\}/g, (whole, name) => (name in values ? String(values[name]) : whole));
}

export function bytes(count, perSecond = false) {
  const units = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];
  let size = Number(count) || 0;
  let unit = 0;
  while (size >= 1024 && unit < units.length - 1) { size /= 1024; unit += 1; }
  const digits = unit === 0 || size >= 100 ? 0 : 1;
  const number = new Intl.NumberFormat(lang, { maximumFractionDigits: digits }).format(size);
  return `${number} ${units[unit]}${perSecond ? "/s" : ""}`;
}

export const number = (value) => new Intl.NumberFormat(lang).format(Number(value) || 0);

// Seconds since 1970, or a time as text.
export function moment(value) {
  if (value === null || value === undefined || value === "") return "—";
  const date = new Date(typeof value === "number" ? value * 1000 : value);
  if (Number.isNaN(date.getTime())) return String(value);
  return new Intl.DateTimeFormat(lang, { dateStyle: "medium", timeStyle: "medium" }).format(date);
}

export function span(seconds) {
  let left = Math.max(0, Math.floor(seconds));
  const parts = [];
  for (const [unit, length] of [["d", 86400], ["h", 3600], ["min", 60], ["s", 1]]) {
    if (left >= length || (unit === "s" && parts.length === 0)) {
      parts.push(`${Math.floor(left / length)} ${unit}`);
      left %= length;
    }
  }
  return parts.slice(0, 2).join(" ");
}
