"use strict";
const $ = id => document.getElementById(id);
const endpoint = location.origin + location.pathname;
const LONGEST_WAIT = 10_000;
let run = null; // what is being published; a new one for each press of Start

$("stream").textContent = decodeURIComponent(location.pathname.split("/").pop());
$("token").value = new URLSearchParams(location.hash.slice(1)).get("token") ?? "";
if (location.hash) history.replaceState(null, "", location.pathname);

function say(state, text) {
  $("status").dataset.state = state;
  $("status").textContent = text;
}

function headers() {
  const token = $("token").value.trim();
  return token ? { Authorization: `Bearer ${token}` } : {};
}

const sleep = ms => new Promise(done => setTimeout(done, ms));

const CAMERA_PROBLEMS = {
  NotAllowedError: "The browser was not allowed to use the camera.",
  NotFoundError: "There is no camera.",
  NotReadableError: "Another program uses the camera.",
};

async function openCamera() {
  if (!navigator.mediaDevices) {
    throw new Error("Browsers give the camera to https pages alone (and to localhost): "
      + "set http.cert and http.key.");
  }
  const video = { facingMode: $("camera").value, width: { ideal: 1280 }, height: { ideal: 720 } };
  try {
    return await navigator.mediaDevices.getUserMedia({ video });
  } catch (error) {
    throw new Error(CAMERA_PROBLEMS[error.name] ?? `No camera: ${error.message}`);
  }
}

function gathered(peer) {
  return new Promise(done => {
    const look = () => peer.iceGatheringState === "complete" && done();
    peer.addEventListener("icegatheringstatechange", look);
    look();
    setTimeout(done, 2000);
  });
}

/** Rather fewer pictures than smaller ones. `contentHint` would say that too, and halve the rate of
    a camera: it means a shared screen. */
async function keepSize(sender) {
  const wanted = { ...sender.getParameters(), degradationPreference: "maintain-resolution" };
  await sender.setParameters(wanted).catch(() => {}); // a browser that does not know it
}

/** One connection: resolves with the reason when it ends. */
async function connect(mine) {
  const peer = mine.peer = new RTCPeerConnection();
  const ended = new Promise(done => peer.addEventListener("connectionstatechange", () => {
    if (["failed", "disconnected", "closed"].includes(peer.connectionState)) {
      done("The connection was lost.");
    }
  }));
  for (const track of mine.camera.getVideoTracks()) {
    const { sender } = peer.addTransceiver(track, { direction: "sendonly", streams: [mine.camera] });
    await keepSize(sender);
  }
  await peer.setLocalDescription();
  await gathered(peer);
  const reply = await fetch(endpoint, {
    method: "POST",
    headers: { "Content-Type": "application/sdp", ...headers() },
    body: peer.localDescription.sdp,
  }).catch(() => { throw new Error("The node does not answer."); });
  const text = await reply.text();
  if (reply.status !== 201) {
    const error = new Error(text || `The node answers ${reply.status}.`);
    error.final = reply.status >= 400 && reply.status < 500 && reply.status !== 429;
    throw error;
  }
  mine.session = new URL(reply.headers.get("Location"), endpoint).href;
  await peer.setRemoteDescription({ type: "answer", sdp: text });
  const watch = setInterval(() => report(mine), 1000);
  try {
    return await ended;
  } finally {
    clearInterval(watch);
  }
}

async function report(mine) {
  if (run !== mine || mine.peer.connectionState !== "connected") return;
  for (const stat of (await mine.peer.getStats()).values()) {
    if (stat.type === "outbound-rtp" && stat.kind === "video" && stat.framesSent && run === mine) {
      mine.failures = 0;
      const rate = Math.round(stat.framesPerSecond ?? 0);
      say("on", `Sending ${stat.frameWidth} × ${stat.frameHeight}, ${rate} pictures a second.`);
    }
  }
}

async function hangUp(mine) {
  const session = mine.session;
  mine.session = null;
  mine.peer?.close();
  if (!session) return;
  const goodbye = { method: "DELETE", headers: headers(), keepalive: true };
  const reply = await fetch(session, goodbye).catch(() => null);
  mine.replaced = reply?.status === 410;
}

async function publish(mine) {
  say("busy", "Asking for the camera …");
  try {
    mine.camera = await openCamera();
    if (run !== mine) return release(mine);
    $("preview").srcObject = mine.camera;
    while (run === mine) {
      say("busy", "Connecting …");
      let reason;
      try {
        reason = await connect(mine);
      } catch (error) {
        if (error.final) throw error;
        reason = error.message;
      }
      await hangUp(mine);
      if (run !== mine) return;
      if (mine.replaced) throw new Error("Another publisher took this stream over.");
      const wait = Math.min(LONGEST_WAIT, 500 * 2 ** mine.failures++);
      say("busy", `${reason} Trying again …`);
      await sleep(wait);
    }
  } catch (error) {
    if (run === mine) {
      stop();
      say("failed", error.message);
    }
  }
}

function release(mine) {
  mine.camera?.getTracks().forEach(track => track.stop());
}

function stop() {
  const mine = run;
  run = null;
  if (mine) {
    release(mine);
    hangUp(mine);
  }
  $("preview").srcObject = null;
  for (const id of ["camera", "token"]) $(id).disabled = false;
  $("button").textContent = "Start";
  $("button").className = "";
  say("off", "Stopped. Nothing is sent.");
}

$("form").addEventListener("submit", event => {
  event.preventDefault();
  if (run) return stop();
  for (const id of ["camera", "token"]) $(id).disabled = true;
  $("button").textContent = "Stop";
  $("button").className = "stop";
  run = { failures: 0 };
  publish(run);
});
addEventListener("pagehide", () => run && stop());
