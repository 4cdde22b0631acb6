// What pages do beyond HTML: times in the reader's zone, news as they happen, a filter. Without it everything still works.
"use strict";
(() => {
  const doc = document;
  doc.documentElement.classList.add("js");
  const byId = (id) => doc.getElementById(id);

  // The link that the service prints has its token in the fragment, which is never sent: the page to sign in takes it.
  if (location.hash.startsWith("#token=")) location.replace("/login" + location.hash);

  // Times: <time datetime> is UTC as it comes.
  const full = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });
  const exact = new Intl.DateTimeFormat(undefined, { dateStyle: "full", timeStyle: "long" });
  const relative = new Intl.RelativeTimeFormat(undefined, { numeric: "auto" });
  const units = [["day", 86400], ["hour", 3600], ["minute", 60]];
  const say = (time) => {
    const at = new Date(time.dateTime);
    if (Number.isNaN(at.getTime())) return;
    let text = full.format(at);
    if ("ago" in time.dataset) {
      const seconds = (at.getTime() - Date.now()) / 1000;
      const [unit, size] = units.find(([, size]) => Math.abs(seconds) >= size) ?? ["minute", 60];
      text = Math.abs(seconds) < 60 ? (seconds < 0 ? "just now" : "now") : relative.format(Math.trunc(seconds / size), unit);
    }
    if (time.textContent !== text) time.textContent = text;
    time.title = exact.format(at);
  };
  const times = (root) => root.querySelectorAll("time[datetime]").forEach(say);
  setInterval(() => doc.querySelectorAll("time[data-ago]").forEach(say), 30000);

  // The filter: hides what does not have the words; groups without anything left are hidden too.
  const filter = () => {
    const input = doc.querySelector("input[data-filter]");
    if (!input) return;
    const words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
    doc.querySelectorAll(input.dataset.filter).forEach((one) => {
      one.hidden = !words.every((word) => one.dataset.search.includes(word));
    });
    doc.querySelectorAll("#board section[aria-labelledby^='g-']").forEach((group) => {
      group.hidden = !group.querySelector(".space:not([hidden])");
    });
  };
  doc.addEventListener("input", (event) => { if (event.target.matches("input[data-filter]")) filter(); });

  doc.addEventListener("click", (event) => {
    const button = event.target.closest("[data-open-all]");
    if (!button) return;
    const all = [...doc.querySelectorAll(button.dataset.openAll)];
    const open = all.some((one) => !one.open);
    all.forEach((one) => { one.open = open; });
    button.setAttribute("aria-expanded", String(open));
  });

  // A form is sent once, however often its button is pressed.
  doc.addEventListener("submit", (event) => {
    if (event.target.method !== "post") return;
    if (event.target.dataset.sent) event.preventDefault();
    event.target.dataset.sent = "1";
  });
  addEventListener("pageshow", (event) => { if (event.persisted) location.reload(); });
  addEventListener("pageshow", () => doc.querySelectorAll("form[data-sent]").forEach((form) => delete form.dataset.sent));

  const notice = (text, css = "bad") => {
    const place = byId("notice");
    if (!place) return;
    place.replaceChildren();
    if (!text) return;
    const line = doc.createElement("p");
    line.className = "alert " + css;
    line.textContent = text;
    place.append(line);
  };

  // Parts that htmx brings: what is the same is not put in again, what was opened stays open, what changed is said once.
  const last = new Map();
  let open = [], foot = true, shown = false;
  doc.addEventListener("htmx:beforeSwap", (event) => {
    const { target, xhr } = event.detail;
    if (xhr.status >= 400) return;
    if (new URL(xhr.responseURL).pathname === "/login") { event.detail.shouldSwap = false; over(); return; }
    if (last.get(target.id) === xhr.responseText) event.detail.shouldSwap = false;
    last.set(target.id, xhr.responseText);
    open = [...target.querySelectorAll("details[id]")].map((one) => [one.id, one.open]);
    const log = target.querySelector("[data-follow]");
    foot = !log || log.scrollTop + log.clientHeight >= log.scrollHeight - 8;
    shown = log ? log.scrollTop : 0;
  });
  doc.addEventListener("htmx:afterSwap", (event) => {
    for (const [id, was] of open) { const one = byId(id); if (one) one.open = was; }
    open = [];
    const part = byId(event.detail.target.id) ?? event.detail.elt;
    times(part.parentElement ?? part);
    follow(foot, shown);
    filter();
    announce(part);
  });
  doc.addEventListener("htmx:responseError", (event) => {
    const { xhr } = event.detail;
    if (xhr.status === 401) { over(); return; }
    let told = {};
    try { told = JSON.parse(xhr.responseText); } catch { /* no problem document */ }
    notice([told.message ?? "The service could not answer.", told.state, told.remedy].filter(Boolean).join(". "));
    const waiting = event.detail.elt;
    if (waiting.getAttribute("aria-busy") === "true") waiting.replaceChildren();
  });
  const announce = (part) => {
    const text = part?.dataset?.say;
    const said = byId("said");
    if (text && said && said.dataset.last !== text) { said.dataset.last = text; said.textContent = text; }
  };
  const follow = (end, at) => doc.querySelectorAll("[data-follow]").forEach((log) => { log.scrollTop = end ? log.scrollHeight : at; });

  // News. One tab of a browser listens and tells the others: browsers open six connections to a host and no more.
  const live = (text, on) => {
    const place = byId("live");
    if (place && place.textContent !== text) { place.textContent = text; place.className = "live " + (on ? "on" : "off"); }
  };
  const over = () => { live("Signed out", false); notice("You are signed out: what is shown grows old. Load the page to sign in again."); };
  const channel = "BroadcastChannel" in window ? new BroadcastChannel("lbsync") : null;
  // So often at most, and never without the last news of all: one that comes meanwhile is in what is asked for then.
  const due = new Set();
  const soon = ({ id, dataset }) => {
    if (due.has(id)) return;
    due.add(id);
    setTimeout(() => { due.delete(id); const part = byId(id); if (part) htmx.trigger(part, "live"); }, Number(dataset.every));
  };
  const heard = (message) => {
    if (message.what === "end") { over(); return; }
    if (message.what === "open" || message.what === "lost") {
      live(message.what === "open" ? "Live" : "No connection: this page may be old", message.what === "open");
      if (message.what === "lost" || !message.again) return;
    }
    doc.querySelectorAll("[data-live]").forEach((one) => {
      if (!message.ns || one.dataset.live === "*" || one.dataset.live === message.ns) soon(one);
    });
  };
  const tell = (message) => { heard(message); channel?.postMessage(message); };
  let before = false;
  const stream = () => new Promise((settle) => {
    const gone = new AbortController(), { signal } = gone;
    const done = (how) => { gone.abort(); settle(how); };
    const source = new EventSource(doc.body.dataset.events);
    let state = "";
    const now = (what) => { state = what; tell({ what, again: before }); before = true; };
    source.addEventListener("open", () => now("open"));
    source.addEventListener("error", () => { now("lost"); if (source.readyState === EventSource.CLOSED) done("lost"); });
    for (const what of ["state", "job", "run", "proposal"]) {
      source.addEventListener(what, (event) => tell({ ...JSON.parse(event.data), what }));
    }
    source.addEventListener("again", () => { source.close(); done("again"); });
    source.addEventListener("end", () => { source.close(); done("lost"); });
    channel?.addEventListener("message", (event) => { if (event.data.what === "hello" && state) channel.postMessage({ what: state }); }, { signal });
    addEventListener("pagehide", () => { source.close(); done("left"); }, { signal });
  });
  // A stream ends with the login or with the service: the one is told, the other may come back. One that is to be opened again
  // is: whoever stands in front then says anew who reads it.
  const listen = async () => {
    for (let how; (how = await stream()) !== "left";) {
      if (how === "again") continue;
      const me = await fetch("/api/v1/me").catch(() => null);
      if (me?.status === 401) { tell({ what: "end" }); return; }
      tell({ what: "lost" });
      await new Promise((done) => setTimeout(done, 3000));
    }
  };
  const begin = () => {
    if (!channel || !navigator.locks) { listen(); return; }
    channel.addEventListener("message", (event) => { if (event.data.what !== "hello") heard(event.data); });
    channel.postMessage({ what: "hello" });
    navigator.locks.request("lbsync-news", listen);
  };

  const start = () => {
    const zone = byId("zone");
    if (zone) zone.textContent = "in your time zone (" + Intl.DateTimeFormat().resolvedOptions().timeZone + ")";
    times(doc);
    filter();
    follow(true, 0);
    if (doc.body.dataset.events && "EventSource" in window) begin();
  };
  if (doc.readyState === "loading") doc.addEventListener("DOMContentLoaded", start); else start();
})();
