// Retries a failed install as a person does: node mend.mjs, with {browser, url, name, password} on stdin. Answers with
// {outcome, state, log, errors}: what the console said, the install's state, and who is in its log.
import { readFileSync } from "node:fs";
import { chromium } from "playwright-core";

const asked = JSON.parse(readFileSync(0, "utf8"));
const errors = [];
const browser = await chromium.launch({ executablePath: asked.browser, args: ["--no-sandbox"] });
const page = await browser.newPage();
page.on("console", (message) => message.type() === "error" && errors.push(message.text()));
page.on("pageerror", (error) => errors.push(error.message));

await page.goto(`${asked.url}/sign-in`);
await page.fill("#name", asked.name);
await page.fill("#password", asked.password);
await page.click("main button");
await page.click("text=shop1001.example");
await page.waitForSelector("h1 .badge.failed");
await page.click("button:has-text('Retry')");
await page.waitForSelector("#outcome.good");
const outcome = (await page.textContent("#outcome strong")).trim();
await page.waitForSelector("h1 .badge.staged");
const state = await page.textContent("h1 .badge");
await page.goto(`${asked.url}/activity?actor=${asked.name}&kind=install.retry`);
const log = (await page.textContent("tbody tr td[data-label=Who]")).trim();
await browser.close();
process.stdout.write(JSON.stringify({ outcome, state, log, errors }));
