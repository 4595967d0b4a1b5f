// Uses every affordance of every example Thing on a server through Eclipse Thingweb's node-wot:
//
//   node check.mjs http://127.0.0.1:5000 [--websockets]
//
// `npm install` beside this file, or in the folder that LABTHINGS_NODE_WOT names, gets what it needs. What it writes, it
// puts back. With --websockets, node-wot has its WebSocket binding, too. The client in that does nothing, so it must not
// be chosen.

import { createRequire } from "node:module";
import { resolve } from "node:path";

console.warn = () => {}; // ajv's, at a format of W3C's schema that it does not know
const require = createRequire(resolve(process.env.LABTHINGS_NODE_WOT ?? import.meta.dirname, "package.json"));
const { Servient } = require("@node-wot/core");
const { HttpClientFactory } = require("@node-wot/binding-http");

const PATIENCE = 30_000; // ms that anything may take
const EVERYTHING = { read: 0, written: 0, observed: 0, subscribed: 0, invoked: 0 };

// What actions are given, if not the least that they take.
const INPUTS = {
  ramp_to: { temperature: 20.5 },
  move_to: { x: 200, z: 50 },
  move_by: { x: 10 },
  scan: { length: 20, points: 2 },
  capture_sequence: { count: 2, interval: 0 },
  measure_series: { count: 2 },
};
const ENDLESS = ["watch"]; // actions that go on until they are cancelled

// How to bring about what neither a write nor an action has.
const CAUSES = {
  overheated: (thing) => thing.whileIs("alarm_temperature", 15, () => thing.untilSeen("overheated")),
  saturated: (thing) => thing.whileIs("integration_time", 1, () => thing.invoke("acquire")),
  overloaded: (thing) => thing.whileIs("measuring_range", 0.5, () => thing.invoke("measure", undefined, "error")),
  is_connected: (thing, other) => {
    return other("SimulatedInstrument").whileIs("is_on", false, () => thing.untilSeen("is_connected"));
  },
};

class Checked {
  constructor(thing, other) {
    this.thing = thing;
    this.other = other;
    this.td = thing.getThingDescription();
    this.count = { ...EVERYTHING };
    this.notified = {}; // by name: what waits for the next notification
    this.seen = {}; // by name: how many notifications there were
  }

  async checkAll() {
    const subscriptions = [];
    for (const name in this.td.properties) await this.attempt(`read ${name}`, () => this.read(name));
    for (const name in this.td.properties) {
      if (this.td.properties[name].observable) {
        await this.attempt(`observe ${name}`, async () => subscriptions.push(await this.observe(name)));
      }
    }
    for (const name in this.td.events) {
      await this.attempt(`subscribe to ${name}`, async () => subscriptions.push(await this.subscribe(name)));
    }
    for (const name in this.td.properties) {
      if (!this.td.properties[name].readOnly) await this.attempt(`write ${name}`, () => this.write(name));
    }
    for (const name in this.td.actions) await this.attempt(`invoke ${name}`, () => this.invokeAndCount(name));
    for (const name in this.seen) {
      if (!this.seen[name] && CAUSES[name]) await this.attempt(`cause ${name}`, () => CAUSES[name](this, this.other));
    }
    for (const name in this.seen) await this.attempt(`be notified of ${name}`, () => this.hearOf(name));
    for (const subscription of subscriptions) await subscription.stop();
    return this.count;
  }

  async attempt(what, act) {
    try {
      await within(PATIENCE, act());
    } catch (error) {
      fail(`${this.td.title}: ${what}: ${error.message}`);
    }
  }

  async read(name) {
    const value = await this.valueOf(name);
    if (value === undefined) throw new Error("There was no value.");
    this.count.read += 1;
  }

  async valueOf(name) {
    return (await this.thing.readProperty(name)).value();
  }

  /** Write another value, hear of it, and put the first one back; at once, too, when the last is what counts. */
  async write(name) {
    const before = await this.valueOf(name);
    const other = another(this.td.properties[name], before);
    await this.whileIs(name, other, async () => {
      const written = JSON.stringify(await this.valueOf(name));
      if (written !== JSON.stringify(other)) throw new Error(`It is ${written}, not what was written.`);
    });
    await this.set(name, other, before);
    this.count.written += 1;
  }

  async whileIs(name, value, act) {
    const before = await this.valueOf(name);
    await this.set(name, value);
    try {
      await act();
    } finally {
      await this.set(name, before);
    }
  }

  /** Write values one after the other, and hear of the last. */
  async set(name, ...values) {
    const last = JSON.stringify(values.at(-1));
    const told = this.notified[name] && this.untilHeard(name, (heard) => JSON.stringify(heard) === last);
    told?.catch(() => {}); // what matters is said first, if a write fails
    for (const value of values) await this.thing.writeProperty(name, value);
    await told;
  }

  observe(name) {
    return this.listenTo(name, (...listeners) => this.thing.observeProperty(name, ...listeners));
  }

  subscribe(name) {
    return this.listenTo(name, (...listeners) => this.thing.subscribeEvent(name, ...listeners));
  }

  async listenTo(name, begin) {
    this.notified[name] = new Set();
    this.seen[name] = 0;
    try {
      return await begin((output) => this.hear(name, output), (error) => this.complain(name, error));
    } catch (error) {
      delete this.notified[name];
      delete this.seen[name];
      throw error;
    }
  }

  async hear(name, output) {
    try {
      const value = await output.value();
      this.seen[name] += 1;
      for (const listener of this.notified[name]) listener(value);
    } catch (error) {
      this.complain(name, error);
    }
  }

  complain(name, error) {
    if (error.name !== "AbortError") fail(`${this.td.title}: notification of ${name}: ${error.message}`);
  }

  untilHeard(name, condition = () => true) {
    return within(PATIENCE / 2, new Promise((resolve) => {
      const listener = (value) => {
        if (condition(value)) {
          this.notified[name].delete(listener);
          resolve();
        }
      };
      this.notified[name].add(listener);
    }));
  }

  /** The first notification ever, which may have come before anybody waits for it. */
  async untilSeen(name) {
    if (this.seen[name] === 0) await this.untilHeard(name);
  }

  async hearOf(name) {
    await this.untilSeen(name);
    this.count[name in this.td.events ? "subscribed" : "observed"] += 1;
  }

  async invokeAndCount(name) {
    const action = this.td.actions[name];
    const input = action.input && (INPUTS[name] ?? least(action.input));
    await (ENDLESS.includes(name) ? this.invokeAndCancel(name, input) : this.invoke(name, input));
    this.count.invoked += 1;
  }

  /** Invoke an action twice over: once asking what becomes of it, once waiting for its end. */
  async invoke(name, input, end = "completed") {
    const { id, href } = await invocation(this.thing.invokeAction(name, input));
    const asked = await (await fetch(`${href}?wait=20`)).json();
    const queried = await invocation(this.follow(name, "queryaction", id));
    const waiting = this.formIndex(name, (form) => form["htv:headers"]);
    const ended = await invocation(this.thing.invokeAction(name, input, { formIndex: waiting }));
    for (const { status, error } of [asked, queried, ended]) {
      if (status !== end) throw new Error(`It ended in ${status}: ${error?.detail}`);
    }
  }

  async invokeAndCancel(name, input) {
    const { id } = await invocation(this.thing.invokeAction(name, input));
    await this.follow(name, "cancelaction", id);
    const { href } = await invocation(this.follow(name, "queryaction", id));
    const { status } = await (await fetch(`${href}?wait=20`)).json();
    if (status !== "cancelled") throw new Error(`It was cancelled, and is ${status}.`);
  }

  /** node-wot has no call for these operations, but follows any form that it is told to. */
  follow(name, operation, id) {
    const formIndex = this.formIndex(name, (form) => form.op.includes(operation));
    return this.thing.invokeAction(name, undefined, { formIndex, uriVariables: { id } });
  }

  formIndex(name, condition) {
    return this.td.actions[name].forms.findIndex(condition);
  }
}

/** What node-wot's answer to an invocation says. Its `value()` is undefined if the action has no output. */
async function invocation(answer) {
  return JSON.parse(Buffer.from(await (await answer).arrayBuffer()));
}

/** Another value that a schema allows. */
function another(schema, value) {
  if (schema.enum) return schema.enum.find((each) => each !== value);
  if (schema.oneOf) return another(schema.oneOf.find((each) => each.type !== "null"), value);
  if (schema.type === "boolean") return !value;
  if (schema.type === "string") return `${value}, changed`;
  if (schema.type === "object") {
    const [name, part] = Object.entries(schema.properties).find(([, each]) => each.type === "boolean");
    return { ...value, [name]: another(part, value[name]) };
  }
  const least = schema.minimum ?? (schema.exclusiveMinimum ?? 0) + 1;
  return least === value ? schema.maximum : least;
}

/** The least that an action takes. */
function least(schema) {
  return Object.fromEntries((schema.required ?? []).map((name) => [name, another(schema.properties[name])]));
}

function within(milliseconds, promise) {
  let timer;
  const timeout = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`Nothing came of it in ${milliseconds / 1000} s.`)), milliseconds);
  });
  return Promise.race([promise, timeout]).finally(() => clearTimeout(timer));
}

function fail(message) {
  console.log(`FAILED  ${message}`);
  process.exitCode = 1;
}

async function explore(wot, url) {
  const found = [];
  const exploration = await wot.exploreDirectory(`${url}/.well-known/wot`);
  for await (const td of exploration) found.push(td);
  if (exploration.error) fail(`Exploring the directory: ${exploration.error.message}`);
  const directory = await wot.consume(await wot.requestThingDescription(`${url}/.well-known/wot`));
  for (const td of found) {
    const one = await directory.invokeAction("retrieveThing", undefined, { uriVariables: { id: td.id } });
    if ((await one.value()).id !== td.id) fail(`The directory has another Thing than ${td.id} under that id.`);
  }
  const page = await (await directory.readProperty("things", { uriVariables: { offset: 1, limit: 1 } })).value();
  if (page.length !== 1 || page[0].id !== found[1].id) fail("The directory's second page is not its second Thing.");
  return found;
}

async function main(url, option) {
  const servient = new Servient();
  if (option === "--websockets") {
    const { WebSocketClientFactory } = require("@node-wot/binding-websockets");
    servient.addClientFactory(new WebSocketClientFactory());
  }
  servient.addClientFactory(new HttpClientFactory());
  const wot = await servient.start();
  const things = [];
  const other = (title) => things.find((each) => each.td.title === title);
  for (const td of await explore(wot, url.replace(/\/$/, ""))) things.push(new Checked(await wot.consume(td), other));
  for (const thing of things) {
    const count = Object.entries(await thing.checkAll());
    console.log(thing.td.title.padEnd(24), count.map(([what, number]) => `${what} ${number}`).join(", "));
  }
  await servient.shutdown();
}

await main(...process.argv.slice(2));
process.exit(); // node-wot may leave connections open
