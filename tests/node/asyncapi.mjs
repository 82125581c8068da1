// What AsyncAPI's own parser makes of a document: `node asyncapi.mjs FILE`, one JSON object on stdout.
// The parser does not look at the examples of a message, so they are held against its schemas here.
import { readFileSync } from "node:fs";
import Ajv from "ajv";
import formats from "ajv-formats";

globalThis.self = globalThis; // the parser's build for browsers expects it
const Parser = (await import("@asyncapi/parser/browser/index.js")).default;

const SEVERITIES = ["error", "warning", "information", "hint"];

const ajv = formats(new Ajv({ allErrors: true, strict: false }));

function wrongExamples(message) {
  const examples = message.examples().all();
  return examples.flatMap((example) => [
    ...failures(message.payload(), example.payload(), `${message.id()}, ${example.name()}: payload`),
    ...failures(message.headers(), example.headers(), `${message.id()}, ${example.name()}: headers`),
  ]);
}

function failures(schema, value, where) {
  if (!schema || ajv.validate(schema.json(), value)) return [];
  return ajv.errors.map((error) => `${where}${error.instancePath} ${error.message}`);
}

const { document, diagnostics } = await new Parser().parse(readFileSync(process.argv[2], "utf8"));
const found = {
  diagnostics: diagnostics.map(({ severity, message, path }) => ({
    severity: SEVERITIES[severity],
    message: `${path.join(".")}: ${message}`,
  })),
};
if (document) {
  found.version = document.version();
  found.channels = document.channels().all().map((channel) => ({
    address: channel.address(),
    exchange: channel.bindings().get("amqp").value().exchange.name,
    messages: channel.messages().all().map((message) => message.id()),
  }));
  found.operations = document.operations().all().map((operation) => ({
    id: operation.id(),
    action: operation.action(),
    addresses: operation.channels().all().map((channel) => channel.address()),
  }));
  found.examples = document.messages().all().reduce((sum, message) => sum + message.examples().all().length, 0);
  found.wrongExamples = document.messages().all().flatMap(wrongExamples);
}
process.stdout.write(JSON.stringify(found));
