// What the documents in openapi/ say, held against what really comes.

import { readFileSync } from "node:fs";
import path from "node:path";

import Ajv from "ajv/dist/2020.js";
import formats from "ajv-formats";

const read = (name) => JSON.parse(readFileSync(path.join(import.meta.dirname, "../../../openapi", name), "utf8"));

export const rest = read("gateway.json");
export const live = read("realtime.json");

// Of numbers it says how wide they are, which JSON does not know.
const ajv = new Ajv({ strict: false, logger: false });
formats(ajv, ["date-time", "uuid"]);
ajv.addSchema(closed(rest), "rest");
ajv.addSchema(closed(live), "live");

/** The same document, in which no object may have fields that are not described. */
function closed(part) {
  if (Array.isArray(part)) return part.map(closed);
  if (typeof part !== "object" || part === null) return part;
  const all = Object.fromEntries(Object.entries(part).map(([key, value]) => [key, closed(value)]));
  for (const [name, field] of Object.entries(all.properties ?? {})) all.properties[name] = only(field);
  if (all.items) all.items = only(all.items);
  return all;
}

/** Whatever has no fields described may have any. */
function only(schema) {
  const isAnything = schema.type === "object" && !schema.properties;
  return isAnything ? schema : { ...schema, unevaluatedProperties: false };
}

/** Every body has a schema with a name, also if it may be left out. */
export const placeOf = ({ $ref, oneOf }) => ($ref ?? oneOf[0].$ref).split("/").slice(1);

/** The example of a failure. */
export const example = ($ref) => rest.components.examples[$ref.split("/").at(-1)].value;

const compiled = new Map();

/** @returns {string | undefined} what is wrong with this value, which should be as described in this place */
export function differs(document, place, value) {
  const $ref = `${document}#/${place.map((key) => encodeURIComponent(String(key).replaceAll("~", "~0").replaceAll("/", "~1"))).join("/")}`;
  if (!compiled.has($ref)) compiled.set($ref, ajv.compile({ $ref, unevaluatedProperties: false }));
  const isSo = compiled.get($ref);
  if (isSo(value)) return undefined;
  return isSo.errors.map((error) => `${error.instancePath || "it"} ${error.message} ${JSON.stringify(error.params)}`).join("; ");
}

/** @returns {string | undefined} how an event that a socket heard differs from what is said of it */
export function heard(name, args) {
  if (!live.channels.told.messages[name]) return `${name} is not described`;
  if (args.length !== 1) return `${name} came with ${args.length} arguments`;
  const wrong = differs("live", ["channels", "told", "messages", name, "payload"], args[0]);
  return wrong && `${name}: ${wrong}: ${JSON.stringify(args[0])}`;
}

/** @returns {string | undefined} how an acknowledgement differs from what is said of it */
export function acknowledged(name, answer) {
  // Whoever asks for what nobody knows is refused like everybody.
  const replies = live.operations[name]?.reply.messages ?? [{ $ref: "#/channels/answered/messages/refused" }];
  const wrong = replies.map(({ $ref }) => differs("live", [...$ref.split("/").slice(1), "payload"], answer));
  return wrong.includes(undefined) ? undefined : `the answer to ${name}: ${wrong.join(" | ")}: ${JSON.stringify(answer)}`;
}

// What is written out goes before what is left open: /messages/search is no /messages/{id}.
const templates = Object.keys(rest.paths)
  .map((template) => ({ template, pattern: new RegExp(`^${template.replaceAll(/\{\w+\}/g, "[^/]+")}$`) }))
  .sort((a, b) => a.template.split("{").length - b.template.split("{").length);

/** @returns {string | undefined} how an answer over HTTP differs from what is said of it */
export function answered(method, url, { status, headers, body, raw }) {
  const template = templates.find(({ pattern }) => pattern.test(url.pathname))?.template;
  const operation = rest.paths[template]?.[method === "HEAD" ? "get" : method.toLowerCase()];
  // There is nothing here, or not by this method: that is one answer for all.
  if (!operation) return undefined;
  const described = operation.responses[status];
  if (!described) return `${operation.operationId} does not say that it may answer ${status}`;
  if (method === "HEAD" || (raw === "" && !described.content)) return undefined;
  const kind = headers["content-type"]?.split(";")[0];
  if (kind?.startsWith("image/") && described.content?.["image/*"]) return undefined;
  const content = described.content?.[kind];
  if (!content) return `${operation.operationId} does not say that it may answer ${status} with ${kind}`;
  const wrong = differs("rest", placeOf(content.schema), body);
  if (wrong) return `${operation.operationId} ${status}: ${wrong}: ${raw}`;
  if (kind !== "application/problem+json") return undefined;
  const why = ({ reason, code }) => reason ?? code;
  const shown = Object.values(content.examples).map(({ $ref }) => why(example($ref)));
  if (!shown.includes(why(body))) return `${operation.operationId} does not say that it may answer ${status} because of ${why(body)}`;
  return undefined;
}

// Tests look at what overtakes what, so nothing is compiled while they do.
for (const name of Object.keys(live.channels.told.messages)) heard(name, [{}]);
for (const name of Object.keys(live.operations).filter((name) => live.operations[name].reply)) acknowledged(name, {});
for (const [template, item] of Object.entries(rest.paths)) {
  for (const [method, operation] of Object.entries(item)) {
    const good = Object.keys(operation.responses).find((status) => operation.responses[status].content?.["application/json"]);
    const answer = { status: good, headers: { "content-type": "application/json" }, body: {}, raw: "{}" };
    if (good) answered(method.toUpperCase(), new URL(template.replaceAll(/\{\w+\}/g, "x"), "http://x"), answer);
  }
}
