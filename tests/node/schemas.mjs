// What a strict validator finds wrong with events: `node schemas.mjs`, on stdin a JSON array of [schema, event],
// on stdout a JSON array with the errors of each.
import { readFileSync } from "node:fs";
import Ajv from "ajv/dist/2020.js";
import formats from "ajv-formats";

const ajv = formats(new Ajv({ allErrors: true, strict: true }));

function errors([schema, event]) {
  const validate = ajv.getSchema(schema.$id) ?? ajv.compile(schema);
  return validate(event) ? [] : validate.errors.map(({ instancePath, message }) => `${instancePath} ${message}`);
}

process.stdout.write(JSON.stringify(JSON.parse(readFileSync(0, "utf8")).map(errors)));
