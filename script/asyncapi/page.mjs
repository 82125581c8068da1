// The contract as one page that needs no network: `node page.mjs ASYNCAPI.json > PAGE.html`. AsyncAPI's own component
// renders it in the browser; document, component and style are all in the page.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";

const component = dirname(createRequire(import.meta.url).resolve("@asyncapi/react-component/package.json"));
const contract = JSON.parse(readFileSync(process.argv[2], "utf8"));
const style = readFileSync(join(component, "styles/default.min.css"), "utf8");
const code = readFileSync(join(component, "browser/standalone/index.js"), "utf8");

// What would end or hide a script within the page.
const inScript = (text) => text.replaceAll("</script", "<\\/script").replaceAll("<!--", "<\\!--");
const inData = (value) => JSON.stringify(value).replaceAll("<", "\\u003c");
const escaped = (text) => text.replaceAll("&", "&amp;").replaceAll("<", "&lt;");

process.stdout.write(`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${escaped(`${contract.info.title} ${contract.info.version}`)}</title>
<style>${style}</style>
</head>
<body>
<div id="contract"></div>
<noscript>This page needs JavaScript. The same in JSON: schemas/export/asyncapi.json.</noscript>
<script>${inScript(code)}</script>
<script>
AsyncApiStandalone.render(
  { schema: ${inData(contract)}, config: { sidebar: { showOperations: "byDefault" }, expand: { messageExamples: false } } },
  document.getElementById("contract"));
</script>
</body>
</html>
`);
