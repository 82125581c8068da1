// A browser that tests drive: node driver.mjs CHROMIUM, with one JSON document a line on stdin and stdout; an answer has the
// `id` of what was asked, if that has one.
//   {open: name, at: url, options, scripts}   a page of its own, as if in a browser of its own
//   {page: name, do: [[method, ...arguments], ...]}   a chain of Playwright's calls that begins at the page
//   {page: name, seen: true}   what has happened on it that should not: errors, requests to other hosts, scripts from data
//   {page: name, close: true}
import { createInterface } from "node:readline";
import { chromium } from "playwright-core";

const PATIENCE = 30_000; // milliseconds
const args = ["--no-sandbox", "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"];
const browser = await chromium.launch({ executablePath: process.argv[2], args });
const pages = new Map();

async function open({ open: name, at, options, scripts }) {
  const context = await browser.newContext({ baseURL: at, ...options });
  context.setDefaultTimeout(PATIENCE);
  const seen = { errors: [], foreign: [], ran: [] };
  context.on("console", (message) => message.type() === "error" && seen.errors.push(`${message.page()?.url()}: ${message.text()}`));
  context.on("weberror", (error) => seen.errors.push(error.error().message));
  context.on("request", (request) => request.url().startsWith(`${at}/`) || seen.foreign.push(request.url()));
  context.on("dialog", (dialog) => seen.ran.push(dialog.message()) && dialog.dismiss());
  await context.exposeFunction("ran", (what) => seen.ran.push(what));
  for (const path of scripts) await context.addInitScript({ path });
  pages.set(name, { page: await context.newPage(), seen });
}

async function answer(asked) {
  if (asked.open) return open(asked);
  if (!pages.has(asked.page)) throw new Error(`there is no such page: ${JSON.stringify(asked)}`);
  const { page, seen } = pages.get(asked.page);
  if (asked.seen) return Object.fromEntries(Object.entries(seen).map(([name, list]) => [name, list.splice(0)]));
  if (asked.close) return page.context().close();
  let value = page;
  for (const [name, ...given] of asked.do) value = typeof value[name] === "function" ? await value[name](...given) : value[name];
  return typeof value !== "object" || [Object.prototype, Array.prototype].includes(Object.getPrototypeOf(value ?? {})) ? value : null;
}

for await (const line of createInterface({ input: process.stdin })) {
  const asked = JSON.parse(line);
  const told = await answer(asked).then((value) => ({ value: value ?? null }), (error) => ({ error: error.message }));
  process.stdout.write(`${JSON.stringify({ ...told, id: asked.id })}\n`);
}
await browser.close();
