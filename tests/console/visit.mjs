// Visits pages of the console as somebody who has signed in: node visit.mjs, with a JSON document on stdin:
// {url, name, password, pages: [path], widths: [375, 1280], schemes: ["light", "dark"], pictures: folder or null}.
// Answers with {violations, errors, foreign, wide}: what axe-core finds, console errors, requests to other hosts, and pages
// that are wider than the window.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { chromium } from "playwright-core";

const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const asked = JSON.parse(readFileSync(0, "utf8"));
const found = { violations: [], errors: [], foreign: [], wide: [] };

const browser = await chromium.launch({ executablePath: asked.browser, args: ["--no-sandbox"] });
for (const width of asked.widths) {
  for (const scheme of asked.schemes) {
    const context = await browser.newContext({ colorScheme: scheme, viewport: { width, height: 800 }, bypassCSP: false });
    const page = await context.newPage();
    page.on("console", (message) => message.type() === "error" && found.errors.push(`${page.url()}: ${message.text()}`));
    page.on("pageerror", (error) => found.errors.push(`${page.url()}: ${error.message}`));
    page.on("request", (request) => request.url().startsWith(asked.url) || found.foreign.push(request.url()));
    const look = async (path, name) => {
      const at = `${path} at ${width} px, ${scheme}`;
      const overflow = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
      if (overflow > 0) found.wide.push(`${at}: ${overflow} px`);
      if (asked.pictures) await page.screenshot({ path: `${asked.pictures}/${name}-${width}-${scheme}.png`, fullPage: true });
      const results = await page.evaluate(`${axe}; axe.run(document, { runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "best-practice"] })`);
      for (const one of results.violations) found.violations.push(`${at}: ${one.id}: ${one.nodes.map((node) => node.html.slice(0, 160) + " " + node.failureSummary.replaceAll("\n", " ").slice(0, 200)).join(" | ")}`);
    };
    await page.goto(`${asked.url}/sign-in`);
    await look("/sign-in", "sign-in");
    await page.fill("#name", asked.name);
    await page.fill("#password", asked.password);
    await page.keyboard.press("Enter");
    await page.waitForSelector("nav.menu");
    for (const path of asked.pages) {
      await page.goto(asked.url + path);
      await look(path, path.replace(/[^a-z0-9]+/g, "-").replace(/^-|-$/g, "") || "start");
    }
    await context.close();
  }
}
await browser.close();
process.stdout.write(JSON.stringify(found));
