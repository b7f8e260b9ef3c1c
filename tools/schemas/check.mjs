// Holds schemas/ against the tools that other people read it with. Run by `make schemas-check`, which puts the documents
// that the gateway serves into a folder: node check.mjs SCHEMAS SERVED.
import { execFileSync } from "node:child_process";
import fs from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";

import { fromFile, Parser } from "@asyncapi/parser";
import Ajv2020 from "ajv/dist/2020.js";
import addFormats from "ajv-formats";
import { compile } from "json-schema-to-typescript";
import ts from "typescript";

const here = path.dirname(fileURLToPath(import.meta.url));
const [schemas, served] = process.argv.slice(2).map((dir) => path.resolve(dir));
const names = fs.readdirSync(path.join(schemas, "json")).map((file) => path.basename(file, ".json"));
const read = (name) => JSON.parse(fs.readFileSync(path.join(schemas, "json", `${name}.json`)));

function fail(what) {
  console.error(what);
  process.exitCode = 1;
}

// Every schema, and every definition in it, compiles in ajv's strict mode; the examples of the AsyncAPI document are valid.
function checkAjv() {
  const ajv = new Ajv2020({ strict: true, allErrors: true });
  addFormats(ajv);
  for (const name of names) ajv.addSchema(read(name));
  for (const name of names) {
    const { $id, $defs = {} } = read(name);
    for (const ref of [$id, ...Object.keys($defs).map((definition) => `${$id}#/$defs/${definition}`)]) {
      try {
        ajv.compile({ $ref: ref });
      } catch (error) {
        fail(`${ref}: ${error.message}`);
      }
    }
  }
}

async function checkAsyncAPI(file) {
  const { document, diagnostics } = await fromFile(new Parser(), file).parse();
  for (const d of diagnostics) {
    if (d.severity < 2) fail(`${file}: ${d.path.join(".")}: ${d.message}`);
  }
  const messages = document ? document.messages().all() : [];
  if (messages.length < 15) fail(`${file}: has ${messages.length} messages`);
}

function checkOpenAPI(file) {
  try {
    execFileSync(
      path.join(here, "node_modules/.bin/redocly"),
      ["lint", "--config", path.join(here, "redocly.yaml"), "--format", "stylish", "--max-problems", "50", file],
      { env: { ...process.env, REDOCLY_TELEMETRY: "off", REDOCLY_SUPPRESS_UPDATE_NOTICE: "true" }, stdio: "pipe" },
    );
  } catch (error) {
    fail(`${file}:\n${error.stdout}${error.stderr}`);
  }
}

// Code that is made from the schemas knows the type of data by the type of the message.
async function checkTypes() {
  const dir = fs.mkdtempSync(path.join(served, "types-"));
  for (const name of ["event", "reply", "advisory", "notice", "deadletter", "botfile"]) {
    const text = await compile(read(name), name, { bannerComment: "", cwd: path.join(schemas, "json") });
    fs.writeFileSync(path.join(dir, `${name}.ts`), text);
  }
  fs.copyFileSync(path.join(here, "usage.ts"), path.join(dir, "usage.ts"));
  const program = ts.createProgram([path.join(dir, "usage.ts")], { strict: true, noEmit: true, types: [], target: ts.ScriptTarget.ES2022 });
  for (const d of ts.getPreEmitDiagnostics(program)) {
    const at = d.file ? `${path.basename(d.file.fileName)}:${d.file.getLineAndCharacterOfPosition(d.start).line + 1}` : "";
    fail(`${at}: ${ts.flattenDiagnosticMessageText(d.messageText, "\n")}`);
  }
}

checkAjv();
await checkAsyncAPI(path.join(schemas, "asyncapi.yaml"));
await checkAsyncAPI(path.join(served, "asyncapi.json"));
checkOpenAPI(path.join(schemas, "openapi.yaml"));
checkOpenAPI(path.join(served, "openapi.json"));
await checkTypes();
if (!process.exitCode) console.log("schemas: ajv, AsyncAPI parser, OpenAPI linter and TypeScript agree");
