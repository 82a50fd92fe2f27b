"use strict";
// The page's life: it listens to /api/events, fetches its parts anew, and lets a person look closer.
const $ = id => document.getElementById(id);
const MOST = 48; // crops in the gallery
let source = null;
let paused = false;
let fetching = false;

function live(text, kind) {
  $("live").textContent = text;
  $("live").className = kind;
}

/** Put new cards in place of the old ones; what a person has opened or looks at stays. */
async function refresh() {
  if (fetching) return;
  fetching = true;
  try {
    const reply = await fetch("/parts/streams");
    if (reply.redirected || reply.status === 401) return location.reload();
    if (!reply.ok) return;
    $("alarm").hidden = reply.headers.get("X-Broker") === "up";
    const text = await reply.text(); // written and escaped by the server
    const box = $("cards");
    if (String(getSelection())) return; // somebody is about to copy it
    const focused = document.activeElement.closest("#cards [data-keep]")?.dataset.keep;
    const open = new Set([...box.querySelectorAll("details[open]")].map(d => d.dataset.keep));
    box.innerHTML = text;
    for (const each of box.querySelectorAll("details")) {
      each.open = open.has(each.dataset.keep);
      if (each.dataset.keep === focused) each.firstElementChild.focus({ preventScroll: true });
    }
  } catch {
    // The event source says that the node is gone, and when it is back.
  } finally {
    fetching = false;
  }
}

function wanted(crop) {
  const of = id => $(id).value.trim();
  return (!of("of-stream") || crop.stream === of("of-stream"))
    && (!of("of-class") || crop.class === of("of-class"))
    && (!of("of-track") || String(crop.tracker_id ?? "") === of("of-track"));
}

function element(name, properties, ...children) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
}

function show(crop) {
  const score = typeof crop.confidence === "number" ? ` ${Math.round(crop.confidence * 100)} %` : "";
  const label = (crop.class || "crop") + score;
  const beside = element("small", { textContent: `${score.trim()} ${crop.stream}`.trim() });
  const picture = element("img", { src: crop.picture, alt: "" });
  const button = element("button", { type: "button", title: `frame ${crop.frame_id}` }, picture,
    element("span", { textContent: crop.class || "crop" }), beside);
  button.setAttribute("aria-label", `${label}, ${crop.stream}, frame ${crop.frame_id}`);
  button.addEventListener("click", () => enlarge(crop));
  const item = element("li", {}, button);
  item.crop = crop;
  // The node has let go of it.
  picture.addEventListener("error", () => item.remove());
  $("gallery").prepend(item);
  while ($("gallery").children.length > MOST) $("gallery").lastElementChild.remove();
  $("no-crops").hidden = true;
}

async function enlarge(crop) {
  const parts = [crop.stream, crop.id].map(encodeURIComponent).join("/");
  const reply = await fetch(`/parts/crop/${parts}`);
  const text = await reply.text();
  if (reply.ok) $("large").innerHTML = text;
  else $("large").textContent = text;
  $("shown").showModal();
}

function listen() {
  source?.close();
  source = new EventSource("/api/events");
  source.addEventListener("open", () => live("live", "well"));
  source.addEventListener("error", () => {
    live("The node does not answer; trying again.", "ill");
    // A refusal ends it for good; what is gone comes back.
    if (source.readyState === EventSource.CLOSED) setTimeout(listen, 5000);
  });
  source.addEventListener("status", refresh);
  source.addEventListener("crop", event => {
    const crop = JSON.parse(event.data);
    if (!paused && wanted(crop)) show(crop);
  });
}

/** A page that nobody sees asks for nothing: browsers give a site six connections. */
document.addEventListener("visibilitychange", () => {
  if (document.hidden) {
    source?.close();
    live("resting", "");
  } else {
    listen();
  }
});

$("pause").addEventListener("click", () => {
  paused = !paused;
  $("pause").setAttribute("aria-pressed", String(paused));
  $("pause").textContent = paused ? "Go on" : "Pause";
});

for (const id of ["of-stream", "of-class", "of-track"]) {
  $(id).addEventListener("input", () => {
    for (const item of [...$("gallery").children]) item.hidden = !wanted(item.crop);
  });
}

document.addEventListener("click", event => {
  const frame = event.target.closest("[data-frame]");
  if (!frame) return;
  $("ask").elements.stream.value = frame.dataset.stream;
  $("ask").elements.frame.value = frame.dataset.frame;
  $("ask").requestSubmit();
  $("why").scrollIntoView();
});

$("close").addEventListener("click", () => $("shown").close());

$("ask").addEventListener("submit", async event => {
  event.preventDefault();
  const query = new URLSearchParams(new FormData($("ask")));
  const reply = await fetch(`/parts/why?${query}`);
  const text = await reply.text();
  if (reply.ok) $("answer").innerHTML = text;
  else $("answer").textContent = text;
});

async function begin() {
  for (const stream of [...$("of-stream").options].map(each => each.value).filter(Boolean).slice(0, 8)) {
    const reply = await fetch(`/api/streams/${encodeURIComponent(stream)}/crops?limit=12`).catch(() => null);
    if (!reply?.ok) continue;
    for (const metadata of (await reply.json()).reverse()) {
      const row = metadata.predictions?.[0] ?? {};
      const id = metadata.id;
      const picture = `/api/streams/${encodeURIComponent(stream)}/crops/${encodeURIComponent(id)}.jpg`;
      show({ stream, id, picture, frame_id: metadata.frame_id, class: String(row.class ?? ""),
        confidence: row.confidence, tracker_id: row.tracker_id });
    }
  }
  listen();
}

begin();
