/**
 * Live state of LabThings in a web page: data that is what the server has, or says that it is not.
 *
 *     import { live } from "/labthings.js";
 *     const state = live("/supply/", "state");
 *     state.addEventListener("change", () => show(state.data));
 *     state.addEventListener("status", () => show(state.isCurrent ? state.data : state.reason));
 *
 * It needs nothing else, and works in every browser since 2022.
 */

const SHORTEST_PAUSE = 0.1, LONGEST_PAUSE = 10;  // seconds before a further attempt to connect
const SETTLED = 10;  // seconds that a connection must have lasted for the pauses to begin anew
const LONGEST_PATIENCE = 300;  // seconds
const LONGEST_GAP = 90;  // seconds; browsers have the timers of hidden pages run once a minute
const PROBE = "labthings.js";  // marks a question that has an answer, whatever it is

/**
 * Follow a property of a Thing that is live state.
 *
 * @param {string|URL} thing The Thing's URL, which may be relative to the page's.
 * @param {string} name The property's name.
 * @param {{silence?: number, patience?: number}} options After how many seconds of silence the server is asked whether
 *     it is there, and how many seconds it may take to answer.
 * @returns {LiveProperty}
 */
export function live(thing, name, options) {
  return new LiveProperty(thing, name, options);
}

/**
 * Follow the state of a `LabSync`.
 *
 * @param {string|URL} url Of its WebSocket, which may be relative to the page's.
 * @param {{silence?: number, patience?: number}} options As those of `live`.
 * @returns {LiveSync}
 */
export function liveSync(url = "/sync/ws", options = undefined) {
  return new LiveSync(url, options);
}

/** The server has refused something, or cannot be asked. `problem` is what it said. */
export class LiveStateError extends Error {
  name = "LiveStateError";

  constructor(message, problem = null, options = undefined) {
    super(message, options);
    this.problem = problem;
    this.status = problem?.status === undefined ? null : Number(problem.status);
  }
}

/** What is known of the state may be old. */
export class StaleStateError extends LiveStateError {
  name = "StaleStateError";
}

/**
 * State that follows what a server has.
 *
 * Events: "change", with `detail.version`, `detail.patch` (null if everything may have changed) and `detail.origin`
 * (what caused it, or null); "status", when `isCurrent` or `reason` is another; "error", with a `LiveStateError` as
 * `detail`.
 */
export class LiveState extends EventTarget {
  #replica = new Replica();
  #refusal = null;
  #isClosed = false;
  #isNew = false;  // whether it has changed without a word
  #told = "";  // the reason that was told last
  #since = new Date();
  #settleReady;

  constructor(url, options = {}) {
    super();
    /** A promise of this, kept when the state is there for the first time; broken if the server has no such state. */
    this.ready = new Promise((resolve, reject) => (this.#settleReady = { resolve, reject }));
    this.ready.catch(() => {});  // a page need not look at it: there are events, too
    this._connection = new Connection(url, options, {
      probe: this._probe,
      opened: () => this.#begin(),
      heard: (message) => this._heed(message),
      changed: () => this.#tell(),
      lost: (wasOpen) => this.#lose(wasOpen),
    });
    this.#told = this.reason;
  }

  /**
   * The state, frozen: each version is another object, but what has not changed in it is the same.
   *
   * @throws {StaleStateError} If it is not current.
   */
  get data() {
    const reason = this.reason;
    if (reason === null) return this.#replica.data;
    throw new StaleStateError(`The state may be an old one since ${this.#since.toLocaleTimeString()}: ${reason}`);
  }

  /** The state as far as it is known, which may be old; null if nothing is known yet. */
  get lastKnown() {
    return this.#replica.data;
  }

  /** The version of `lastKnown`; null if nothing is known yet. */
  get version() {
    return this.#replica.version;
  }

  /** Tells one run of the server from another. */
  get epoch() {
    return this.#replica.epoch;
  }

  /** Whether the state is connected, and nothing is missing. */
  get isCurrent() {
    return this.reason === null;
  }

  /** Why the state is not current; null if it is. */
  get reason() {
    if (this.#isClosed) return "It has been closed.";
    return this.#refusal?.message ?? this._connection.fault ?? this.#replica.fault;
  }

  /** Since when the state is not current; null if it is. */
  get since() {
    return this.isCurrent ? null : this.#since;
  }

  /** Follow the state no longer. */
  close() {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this._connection.close();
    this.#settleReady.reject(new LiveStateError(this.reason));
    this._lose();
    this.#tell();
  }

  // --- for those that know what the server says ----------------------------------------------------------------------

  /** @abstract What is said to have the server send a snapshot; null if it does that by itself. */
  get _greeting() {
    return null;
  }

  /** @abstract What is said after a gap. */
  get _request() {
    return this._greeting;
  }

  /** @abstract What is said to have the server say something. */
  get _probe() {
    return null;
  }

  /** @abstract A URL that answers with problem details, if something is wrong. */
  get _resource() {
    return null;
  }

  /** @abstract Do what a message says. */
  _heed(message) {}

  /** Do what is to be done when the connection is lost. */
  _lose() {}

  _load(snapshot) {
    this.#replica.load(snapshot);
    this.#refusal = null;
    this.#isNew = true;
    this.#settleReady.resolve(this);
    this.#tell();
  }

  _apply(patch, origin) {
    if (this.#replica.fault !== null) return;  // of no use: a snapshot will come
    const isNews = this.#replica.apply(patch);
    if (this.#replica.fault !== null) this.#mend();
    if (isNews && this.isCurrent) this.#dispatch("change", { version: this.version, patch: patch.patch, origin });
    else this.#isNew ||= isNews;
  }

  _refuse(error) {
    const isKnown = this.#refusal?.message === error.message;
    this.#refusal = error;
    if (isKnown) return;
    console.warn(`labthings.js: ${error.message}`);
    if (error.status >= 400 && error.status < 500) this.#settleReady.reject(error);  // others may pass
    this.#tell();
    this.#dispatch("error", error);
  }

  #begin() {
    this.#refusal = null;
    this.#replica.forsake("The state has not come yet.");
    if (this._greeting !== null) this._connection.send(this._greeting);
    this.#tell();
  }

  #mend() {
    if (this.#replica.gaps > 1) this._connection.lose(this.#replica.fault);  // asking has not helped
    else this._connection.send(this._request);
    this.#tell();
  }

  #lose(wasOpen) {
    if (wasOpen) this.#refusal = null;
    else this.#findReason();
    this._lose();
    this.#tell();
  }

  /** Ask by HTTP why there is no WebSocket: browsers do not tell. */
  async #findReason() {
    const error = await fetched(this._resource).then((answer) => answer.body?.cancel(), (refused) => refused);
    if (this._connection.fault === null || this.#isClosed) return;  // it has succeeded in the meantime
    if (error?.problem) return this._refuse(error);
    this.#refusal = error ? null : new LiveStateError(
      `${this._resource} answers, but its WebSocket does not. A proxy between must pass on WebSockets, and 'Host'.`);
    this.#tell();
  }

  #tell() {
    const { reason } = this;
    if (reason !== this.#told) {
      if (this.#told === null) this.#since = new Date();
      this.#told = reason;
      this.#dispatch("status", { isCurrent: reason === null, reason });
    }
    if (!this.#isNew || !this.isCurrent) return;
    this.#isNew = false;
    this.#dispatch("change", { version: this.version, patch: null, origin: null });
  }

  #dispatch(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }
}

/** A property of a Thing that is live state. */
export class LiveProperty extends LiveState {
  #name;

  constructor(thing, name, options) {
    if (typeof name !== "string" || name === "") {
      throw new TypeError('live() takes a Thing\'s URL and the name of a property: live("/supply/", "state").');
    }
    const home = absolute(thing);
    if (!home.pathname.endsWith("/")) home.pathname += "/";
    super(socketUrl(new URL("ws", home)), options);
    this.#name = name;
    /** The property's URL. */
    this.url = new URL(encodeURIComponent(name), home).href;
  }

  /** The entity tag of what is known of the state, for `patch`; null if nothing is known yet. */
  get etag() {
    return this.version === null ? null : `"${this.epoch}-${this.version}"`;
  }

  /**
   * Have the server change the state: all of it, or nothing.
   *
   * @param {object[]} operations A JSON Patch (RFC 6902).
   * @param {{ifMatch?: string}} options An `etag`, if it is to be done only to that version.
   * @returns {Promise<string>} The entity tag of the version with the change, which comes like any other.
   * @throws {LiveStateError} If the server refuses. The `status` is 412 if the version is another.
   */
  async patch(operations, options = {}) {
    const { ifMatch } = known(options, ["ifMatch"], "patch()");
    const headers = { "Content-Type": "application/json-patch+json" };
    if (ifMatch !== undefined) headers["If-Match"] = ifMatch;
    const answer = await fetched(this.url, { method: "PATCH", headers, body: JSON.stringify(operations) });
    return answer.headers.get("ETag");
  }

  get _greeting() {
    return { messageType: "addPropertyObservation", data: { [this.#name]: "patches" } };
  }

  get _resource() {
    return this.url;
  }

  get _probe() {
    return { messageType: "request", operation: "readmultipleproperties", names: [], correlationID: PROBE };
  }

  _heed({ messageType, data, error }) {
    const told = isObject(data) && Object.hasOwn(data, this.#name) ? data[this.#name] : null;
    if (messageType === "propertySnapshot" && told) this._load(told);
    if (messageType === "propertyPatch" && told) this._apply(told, told.origin ?? null);
    if (messageType === "response" && error) this._refuse(problemError(this.url, error));
  }
}

/** The state of a `LabSync`, and its commands. */
export class LiveSync extends LiveState {
  #commands = new Map();
  #count = 0;
  #resource;

  constructor(url, options) {
    const socket = socketUrl(absolute(url));
    super(socket, options);
    this.#resource = new URL("state", socket.replace(/^ws/, "http")).href;
  }

  /**
   * Have a command done. What it changes is in the state when it is.
   *
   * @returns {Promise<any>} What it gives.
   * @throws {LiveStateError} If it fails: `problem` is what it said, with a `code`. Without a `problem`, nobody knows
   *     whether it is done.
   */
  command(name, params = {}) {
    const requestId = `labthings.js ${++this.#count}`;
    return new Promise((resolve, reject) => {
      if (!this.isCurrent) throw new StaleStateError(`'${name}' has not been sent: ${this.reason}`);
      this.#commands.set(requestId, { resolve, reject });
      this._connection.send({ requestId, type: "command", command: name, params });  // the id first: see wire.md
    });
  }

  get _request() {
    return { type: "resync" };
  }

  get _probe() {
    return { type: "ping", requestId: PROBE };  // older servers refuse it, which is an answer, too
  }

  get _resource() {
    return this.#resource;
  }

  _heed(message) {
    const { type, requestId } = message;
    if (type === "snapshot") this._load(message);
    if (type === "patch") this._apply(message, syncOrigin(message));
    if (type === "command_ack") this.#end(requestId)?.resolve(message.result);
    if (type === "command_error") this.#end(requestId)?.reject(new LiveStateError(message.message, message));
  }

  #end(requestId) {
    const found = this.#commands.get(requestId);
    this.#commands.delete(requestId);
    return found;
  }

  _lose() {
    for (const each of this.#commands.values()) {
      each.reject(new LiveStateError(`Whether it is done is not known: ${this.reason}`));
    }
    this.#commands.clear();
  }
}

function syncOrigin({ originClientId, requestId, command, origin }) {
  const told = Object.entries({ originClientId, requestId, command, ...origin });
  const known = told.filter(([, value]) => value !== undefined);
  return known.length ? Object.fromEntries(known) : null;
}

// --- a copy of the state ---------------------------------------------------------------------------------------------

/** What is known of the state, and what is wrong with that. */
class Replica {
  data = null;
  epoch = null;
  version = null;
  fault = "The state has not come yet.";
  gaps = 0;  // since a patch has fitted

  load({ epoch, version, data }) {
    Object.assign(this, { epoch, version, data: frozen(data), fault: null });
  }

  forsake(fault) {
    this.fault = fault;
  }

  /** Apply a patch, all of it or nothing, and say whether it was news. */
  apply({ epoch, baseVersion, version, patch }) {
    if (epoch !== this.epoch) return this.#miss(`this is of ${this.epoch}, and there is a patch of ${epoch}`);
    if (version <= this.version) return false;
    if (baseVersion !== this.version) {
      return this.#miss(`this is version ${this.version}, and there is a patch of version ${baseVersion}`);
    }
    try {
      this.data = patched(this.data, patch);
    } catch (error) {
      return this.#miss(error.message);
    }
    this.version = version;
    this.gaps = 0;
    return true;
  }

  #miss(fault) {
    this.gaps += 1;
    this.forsake(`A change was missed, so the state is asked for again: ${fault}.`);
    return false;
  }
}

/**
 * Apply a JSON Patch (RFC 6902) to data that stays as it was.
 *
 * @param {any} data Plain JSON data.
 * @param {object[]} operations They are made part of the result, which is frozen as far as it is new.
 * @returns {any} The data as they then are. What has not changed is shared.
 * @throws {RangeError} If an operation does not fit.
 */
export function patched(data, operations) {
  const patching = new Patching(data);
  for (const operation of operations) patching.apply(operation);
  return patching.result();
}

/** Data that are being patched. Arrays and objects are copied when something in them is changed for the first time. */
class Patching {
  #data;
  #own = new Set();  // the copies, which nobody else has yet

  constructor(data) {
    this.#data = data;
  }

  result() {
    for (const each of this.#own) Object.freeze(each);
    return this.#data;
  }

  apply({ op, path, from, value }) {
    if (op === "add" || op === "replace") this.#put(op, path, frozen(given(value)));
    else if (op === "remove") this.#put(op, path);
    else if (op === "move") this.#move(from, path);
    else if (op === "copy") this.#put("add", path, frozen(structuredClone(this.#at(from))));
    else if (op !== "test") throw new RangeError(`'${op}' is no operation of a JSON Patch`);
    else if (!equal(this.#at(path), given(value))) throw new RangeError(`what is at '${path}' is something else`);
  }

  #move(from, path) {
    const value = this.#at(from);
    if (path.startsWith(`${from}/`)) throw new RangeError(`'${from}' cannot be moved into itself`);
    this.#put("remove", from);
    this.#put("add", path, value);
  }

  #at(path) {
    return parts(path).reduce((data, part) => data[keyIn(data, part, path)], this.#data);
  }

  #put(op, path, value) {
    const above = parts(path), last = above.pop();
    if (last === undefined) {
      if (op === "remove") throw new RangeError("the whole state cannot be removed");
      this.#data = value;
      return;
    }
    const parent = this.#owned(above, path);
    if (Array.isArray(parent)) changeArray(parent, op, last, path, value);
    else if (op === "add" && isObject(parent)) define(parent, last, value);
    else if (op === "remove") delete parent[keyIn(parent, last, path)];
    else define(parent, keyIn(parent, last, path), value);
  }

  /** What is at a place, with all that is above it, as copies that may be changed. */
  #owned(above, path) {
    let data = this.#data = this.#copied(this.#data);
    for (const part of above) {
      const key = keyIn(data, part, path);
      define(data, key, this.#copied(data[key]));
      data = data[key];
    }
    return data;
  }

  #copied(data) {
    if (data === null || typeof data !== "object" || this.#own.has(data)) return data;
    const copy = Array.isArray(data) ? [...data] : { ...data };  // `slice` of what is frozen is slow
    this.#own.add(copy);
    return copy;
  }
}

function changeArray(array, op, part, path, value) {
  const { length } = array;
  const index = op === "add" && part === "-" ? length : indexIn(part, op === "add" ? length + 1 : length, path);
  if (op === "add") array.splice(index, 0, value);
  else if (op === "remove") array.splice(index, 1);
  else array[index] = value;
}

function given(value) {
  if (value === undefined) throw new RangeError("an operation has no value");
  return value;
}

function parts(pointer) {
  if (typeof pointer !== "string" || (pointer !== "" && pointer[0] !== "/")) {
    throw new RangeError(`'${pointer}' is no JSON pointer`);
  }
  return pointer.split("/").slice(1).map((each) => each.replaceAll("~1", "/").replaceAll("~0", "~"));
}

function keyIn(data, part, pointer) {
  if (Array.isArray(data)) return indexIn(part, data.length, pointer);
  if (isObject(data) && Object.hasOwn(data, part)) return part;
  throw new RangeError(`there is nothing at '${pointer}'`);
}

function indexIn(part, end, pointer) {
  const index = /^(0|[1-9][0-9]{0,14})$/.test(part) ? Number(part) : end;
  if (index < end) return index;
  throw new RangeError(`there is nothing at '${pointer}'`);
}

// Assigning to "__proto__" would change what the object is.
function define(data, key, value) {
  if (key !== "__proto__") data[key] = value;
  else Object.defineProperty(data, key, { value, writable: true, enumerable: true, configurable: true });
}

function isObject(data) {
  return data !== null && typeof data === "object" && !Array.isArray(data);
}

function equal(one, other) {
  if (one === null || other === null || typeof one !== "object" || typeof other !== "object") return one === other;
  const keys = Object.keys(one);
  return Array.isArray(one) === Array.isArray(other) && keys.length === Object.keys(other).length
    && keys.every((key) => Object.hasOwn(other, key) && equal(one[key], other[key]));
}

function frozen(value) {
  if (value === null || typeof value !== "object" || Object.isFrozen(value)) return value;
  for (const each of Array.isArray(value) ? value : Object.values(value)) frozen(each);
  return Object.freeze(value);
}

// --- the connection --------------------------------------------------------------------------------------------------

/** A WebSocket that opens again by itself, and is asked whether the server is there if it is silent. */
class Connection {
  fault;  // why it cannot be relied on; null if it can
  #socket = null;
  #isOpen = false;
  #begun = 0;
  #heardAt = 0;
  #askedAt = null;
  #pause = SHORTEST_PAUSE;
  #retry;
  #watch;
  #listening = new AbortController();

  constructor(url, options, told) {
    const { silence = 10, patience = 10 } = known(options, ["silence", "patience"], "live() and liveSync()");
    Object.assign(this, { url, told, silence, patience, usualPatience: patience });
    this.fault = `Connecting to ${url}.`;
    this.#open();
    this.#listen();
  }

  send(message) {
    if (this.#isOpen) this.#socket.send(JSON.stringify(message));
  }

  close() {
    this.#listening.abort();
    this.#rest("It has been closed.");
  }

  /** Give up this connection, and open another a little later. */
  lose(fault) {
    const wasOpen = this.#isOpen;
    if (wasOpen && Date.now() - this.#begun > SETTLED * 1000) this.#pause = SHORTEST_PAUSE;
    this.#rest(fault);
    this.#retry = setTimeout(() => this.#open(), this.#pause * (500 + 500 * Math.random()));
    this.#pause = Math.min(2 * this.#pause, LONGEST_PAUSE);
    this.told.lost(wasOpen);
  }

  #open() {
    const socket = this.#socket = new WebSocket(this.url);
    const ifMine = (act) => (event) => socket === this.#socket && act(event);  // one that was given up may still speak
    socket.onopen = ifMine(() => this.#begin());
    socket.onmessage = ifMine(({ data }) => this.#hear(data));
    socket.onclose = ifMine(({ code, reason }) => this.#end(reason || (code === 1006 ? "the browser does not say why" : `code ${code}`)));
    this.#begun = this.#heardAt = this.#askedAt = Date.now();
    const often = Math.min(this.silence, this.patience) * 500;
    this.#watch = setInterval(() => this.#check(this.silence), often);
  }

  #end(reason) {
    this.lose(this.#isOpen ? `The connection is lost: ${reason}.` : `${this.url} cannot be reached: ${reason}.`);
  }

  #rest(fault) {
    clearTimeout(this.#retry);
    clearInterval(this.#watch);
    const socket = this.#socket;
    this.#socket = null;
    this.#isOpen = false;
    this.fault = fault;
    socket?.close();
  }

  #begin() {
    this.#isOpen = true;
    this.#heardAt = Date.now();
    this.#askedAt = null;
    this.fault = null;
    this.told.opened();
  }

  #hear(text) {
    this.#heardAt = Date.now();
    if (typeof text !== "string") return;  // a stream of numbers, which is no state
    let message;
    try {
      message = JSON.parse(text) ?? {};
    } catch (error) {
      return this.lose(`What the server says is no JSON: ${error.message}.`);
    }
    if (message.correlationID === PROBE || message.requestId === PROBE) this.#trust();
    else this.told.heard(message);
  }

  #trust() {
    this.#askedAt = null;
    this.patience = this.usualPatience;
    this.fault = null;
    this.told.changed();
  }

  /** Ask a server that is silent, as browsers do not tell when a connection has died without a word. */
  #check(silence) {
    const seconds = (Date.now() - this.#heardAt) / 1000;
    if (this.#askedAt !== null) {
      if (Date.now() - Math.max(this.#askedAt, this.#heardAt) > this.patience * 1000) this.#giveUp(seconds);
    } else if (seconds > silence) {
      this.#askedAt = Date.now();
      this.send(this.told.probe);
      if (seconds > LONGEST_GAP) this.#doubt(seconds);
    }
  }

  /** The computer has slept, or the page: nobody knows whether the connection has lived on. */
  #doubt(seconds) {
    this.fault = `The server has not been heard for ${Math.round(seconds)} s.`;
    this.told.changed();
  }

  #giveUp(seconds) {
    this.patience = Math.min(2 * this.patience, LONGEST_PATIENCE);  // a large state may take long to come
    this.lose(`The server has not answered for ${Math.round(seconds)} s.`);
  }

  #listen() {
    const on = (target, type, act) => target?.addEventListener?.(type, act, { signal: this.#listening.signal });
    const { document } = globalThis;
    on(globalThis, "online", () => this.#hurry());
    on(globalThis, "offline", () => this.#check(0));
    on(document, "resume", () => this.#hurry());
    on(document, "visibilitychange", () => document.visibilityState === "visible" && this.#hurry());
    on(globalThis, "pagehide", ({ persisted }) => persisted && this.#putAway());  // or the page would not be kept
    on(globalThis, "pageshow", ({ persisted }) => persisted && this.#hurry());
  }

  #hurry() {
    if (this.#socket !== null) return this.#check(1);
    this.#rest(this.fault);
    this.#open();
  }

  #putAway() {
    this.#rest("The page has been put away.");
    this.told.lost(true);
  }
}

/** @throws {TypeError} If there is an option that does not exist: a misspelt one must not go unnoticed. */
function known(options, names, taker) {
  const unknown = Object.keys(options).filter((each) => !names.includes(each));
  if (unknown.length) throw new TypeError(`${taker}: there is no option ${unknown}. There is: ${names.join(", ")}.`);
  return options;
}

function absolute(url) {
  return new URL(url, globalThis.document?.baseURI ?? globalThis.location?.href);
}

function socketUrl(url) {
  const socket = new URL(url);
  socket.protocol = socket.protocol.replace(/^http/, "ws");
  return socket.href;
}

/** @throws {LiveStateError} With what the server says, if it refuses. */
async function fetched(url, options) {
  const answer = await fetch(url, { cache: "no-store", ...options }).catch((cause) => {
    throw new LiveStateError(`${url} cannot be reached: ${cause.message}.`, null, { cause });
  });
  if (answer.ok) return answer;
  const { status, statusText } = answer;
  throw problemError(url, { status, title: statusText, ...(await answer.json().catch(() => null)) });
}

function problemError(url, problem) {
  return new LiveStateError(`${url}: ${problem.detail ?? problem.title} (${problem.status})`, problem);
}
