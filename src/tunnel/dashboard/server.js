// Requests to the server. The key is kept in this module's memory and nowhere else: a reload asks for it again.

import { language } from "./words.js";

let key = null;
let whenLost = () => {};

export const hasKey = () => key !== null;
export const onLost = (act) => { whenLost = act; };
export function forget() { key = null; }

export class Refused extends Error {
  constructor(status, answer) {
    super(answer?.message ?? `HTTP ${status}`);
    this.status = status;
    this.code = answer?.code;
    this.field = answer?.field ?? answer?.data?.field;
  }
}

async function request(path, options, presented) {
  const answer = await fetch(path, {
    ...options,
    cache: "no-store",
    headers: { ...options.headers, Authorization: `Bearer ${presented}`, "Accept-Language": language() },
  });
  let body = null;
  try { body = await answer.json(); } catch { /* Not ours; the status says enough. */ }
  if (!answer.ok || body?.success === false) {
    if (answer.status === 401 && presented === key) { key = null; whenLost(); }
    throw new Refused(answer.status, body);
  }
  return body?.data;
}

export async function enter(presented) {
  await request("/api/mapping/list", {}, presented);
  key = presented;
}

export const get = (path) => request(path, {}, key);

export const post = (path, body) =>
  request(path, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) }, key);

export async function health() {
  return (await fetch("/health", { cache: "no-store" })).json();
}
