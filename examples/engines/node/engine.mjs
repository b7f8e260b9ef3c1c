// A bot engine that has only HTTP: it publishes one event, and reads replies until that of its event. Node.js 20, no packages.
//   HOOKTURN_URL=http://127.0.0.1:8080 HOOKTURN_TOKEN=… node engine.mjs orders c-42 STATUS cursor.txt
import { randomUUID } from "node:crypto";
import fs from "node:fs";
import { setTimeout as wait } from "node:timers/promises";

const [bot, conversation, step, cursorFile] = process.argv.slice(2);
if (!cursorFile) {
  console.error("usage: node engine.mjs BOT CONVERSATION STEP CURSORFILE");
  process.exit(2);
}
const { HOOKTURN_URL: url, HOOKTURN_TOKEN: token } = process.env;
const seen = new Set(); // CloudEvents ids of replies; a real engine keeps them for a day, in its store
const event = {
  specversion: "1.0", id: randomUUID(), source: "/engines/node", type: "hookturn.step.requested",
  time: new Date().toISOString(), subject: conversation, bot, data: { step },
};

function send(path, options = {}) {
  return fetch(url + path, { ...options, headers: { authorization: `Bearer ${token}`, ...options.headers } });
}

// publish repeats an event under its id until hookturn has it: a repetition is stored once.
async function publish() {
  for (;;) {
    const answer = await send("/events", {
      method: "POST", headers: { "content-type": "application/cloudevents+json" }, body: JSON.stringify(event),
    }).catch(() => null);
    if (answer?.status === 202) return;
    if (answer && answer.status < 500 && answer.status !== 429) {
      console.error("the event is not accepted:", await answer.text());
      process.exit(1);
    }
    await wait(1000);
  }
}

// handle prints one reply; it is true for the one that ends the step of the event.
function handle(reply) {
  if (seen.has(reply.id)) return false;
  seen.add(reply.id);
  for (const message of reply.data.messages ?? []) console.log(reply.data.outcome, message.text);
  return reply.type === "hookturn.step.replied" && reply.data.event_id === event.id;
}

// read handles replies in order until the connection ends; true once the event is answered.
async function read(started) {
  const cursor = fs.existsSync(cursorFile) ? fs.readFileSync(cursorFile, "utf8").trim() : "";
  const answer = await send(`/replies?bot=${bot}`, { headers: cursor ? { "last-event-id": cursor } : {} });
  if (answer.status === 410) fs.writeFileSync(cursorFile, "0"); // the stream was created again: read all, and rely on the ids
  if (answer.status !== 200) throw new Error(await answer.text());
  let text = "";
  for await (const part of answer.body.pipeThrough(new TextDecoderStream())) {
    text += part;
    for (let end; (end = text.indexOf("\n\n")) >= 0; text = text.slice(end + 2)) {
      const fields = Object.fromEntries(text.slice(0, end).split("\n").map((line) => line.split(/: (.*)/s)));
      if (!fields.id) continue; // a comment keeps the connection open
      const done = fields.data && handle(JSON.parse(fields.data));
      fs.writeFileSync(cursorFile, fields.id); // acknowledge: a restart does not read this reply again
      if (done) return true;
      if (!fields.data) await started();
    }
  }
  return false;
}

// Reading begins first: the first event of the stream is the position from which nothing is missed.
let published;
for (;;) {
  const done = await read(() => (published ??= publish())).catch((error) => console.error("connecting again:", error.message));
  if (done) process.exit(0);
  await wait(1000);
}
