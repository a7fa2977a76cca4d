// Subscriptions over one websocket (graphql-transport-ws). It comes back by itself after whatever broke it; whoever
// follows something then gets its present state again, and `returned` tells pages that they may have missed something.

import { tenantLookedAt } from "/console/graphql.js";

const SHORTEST_WAIT = 1_000;
const LONGEST_WAIT = 30_000;
const BETWEEN_PINGS = 25_000;
const FOR_A_PONG = 10_000;
const CREDENTIALS_ENDED = 4403;

const FELL_BEHIND = "FELL_BEHIND";

const following = new Map();
const ended = new Set();
const listeners = { returned: new Set(), ended: new Set(), changed: new Set() };
let socket = null;
let ready = false;
let live = false;
let wasLive = false;
let attempts = 0;
let waiting = null;
let pinging = null;
let unanswered = null;
let lastId = 0;

/** Follow a subscription: `receive` gets each state's data. Returns what stops it. */
export function follow(query, variables, receive) {
  const id = String(++lastId);
  following.set(id, { query, variables, receive });
  if (ready) begin(id);
  else if (!waiting) connect();
  return () => {
    if (!following.delete(id)) return;
    if (ready) send({ id, type: "complete" });
    if (!following.size) close();
  };
}

/** Whether news arrive by themselves at the moment. */
export function isLive() {
  return live;
}

/**
 * Be told: `returned` after a connection was lost and is back, `ended` when the credentials are no longer good,
 * `changed` whenever isLive() changes.
 */
export function on(event, listener) {
  listeners[event].add(listener);
  return () => listeners[event].delete(listener);
}

function connect() {
  if (socket || !following.size) return;
  clearTimeout(waiting);
  waiting = null;
  const address = new URL("/graphql", location.href);
  address.protocol = address.protocol.replace("http", "ws");
  const opened = new WebSocket(address, "graphql-transport-ws");
  socket = opened;
  opened.onopen = () => {
    const tenant = tenantLookedAt();
    send({ type: "connection_init", payload: tenant ? { purserTenant: tenant } : {} });
  };
  opened.onmessage = ({ data }) => socket === opened && received(JSON.parse(data));
  opened.onclose = ({ code }) => socket === opened && lost(code);
}

function received(message) {
  clearTimeout(unanswered);
  if (message.type === "connection_ack") {
    ended.clear();
    ready = true;
    for (const id of following.keys()) begin(id);
    pinging = setInterval(stood, BETWEEN_PINGS);
    ping();
  } else if (message.type === "pong") {
    // A pong says that whatever was subscribed before its ping has begun: from here on nothing is missed.
    if (live) return;
    setLive(true);
    if (wasLive) tell("returned");
    wasLive = true;
  } else if (message.type === "ping") {
    send({ type: "pong" });
  } else if (message.type === "next") {
    const { data } = message.payload;
    if (data) following.get(message.id)?.receive(data);
  } else if (message.type === "error" || message.type === "complete") {
    if (message.payload?.[0]?.extensions?.code === FELL_BEHIND) beginAnew(message.id);
    else following.delete(message.id);
    // It tells of the tenant with which it began, so the next page, which may be another tenant's, must not find it open.
    if (!following.size) close();
  }
}

/** The server cannot tell what was missed of this one: what is shown may be old. */
function beginAnew(id) {
  if (!following.has(id)) return;
  ended.add(id);
  setTimeout(() => {
    if (!ready || !ended.delete(id) || !following.has(id)) return;
    begin(id);
    tell("returned");
  }, SHORTEST_WAIT);
}

/** It has stood for a while. One that is taken and closed at once is not asked for at once. */
function stood() {
  attempts = 0;
  ping();
}

/** A connection that was silently lost, as in a laptop's sleep, is found by asking. */
function ping() {
  send({ type: "ping" });
  clearTimeout(unanswered);
  unanswered = setTimeout(() => {
    const silent = socket;
    lost(0);
    silent?.close();
  }, FOR_A_PONG);
}

function lost(code) {
  socket = null;
  clearInterval(pinging);
  clearTimeout(unanswered);
  ready = false;
  setLive(false);
  if (code === CREDENTIALS_ENDED) return tell("ended");
  if (!following.size) return;
  const wait = Math.min(LONGEST_WAIT, SHORTEST_WAIT * 2 ** attempts++);
  waiting = setTimeout(connect, wait * (0.5 + Math.random() / 2));
}

function close() {
  clearTimeout(waiting);
  waiting = null;
  clearInterval(pinging);
  clearTimeout(unanswered);
  const closing = socket;
  socket = null;
  ready = false;
  wasLive = false;
  setLive(false);
  closing?.close();
}

function begin(id) {
  const { query, variables } = following.get(id);
  send({ id, type: "subscribe", payload: { query, variables } });
}

function send(message) {
  if (socket?.readyState === WebSocket.OPEN) socket.send(JSON.stringify(message));
}

function setLive(now) {
  if (live === now) return;
  live = now;
  tell("changed");
}

function tell(event) {
  for (const listener of listeners[event]) listener();
}

/** Do not wait for the next attempt: the machine is back, or somebody looks at the page again. */
function hurry() {
  if (waiting) connect();
  else if (ready) ping();
}

addEventListener("online", hurry);
document.addEventListener("visibilitychange", () => document.visibilityState === "visible" && hurry());
