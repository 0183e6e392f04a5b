// Draws each dashboard in a headless Chromium: `node build/main.js SOURCES.json FOLDER PICTURES`.

import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";

import { chromium, type Page, type Route } from "playwright-core";

import { GAP, ROW } from "./grid";
import type { Dashboard, Sources } from "./model";

const WIDTH = 1600;
const PAGE = "http://localhost/";
const HTML = '<!doctype html><meta charset="utf-8"><link rel="stylesheet" href="/page.css"><body><script src="/page.js"></script>';
const MODULES = join(__dirname, "../node_modules");
const WEIGHTS: Record<string, string> = { Regular: "400-normal", Medium: "500-normal" };

const [file, folder, pictures] = process.argv.slice(2);
if (file === undefined || folder === undefined || pictures === undefined) {
  console.error("usage: main.js SOURCES.json FOLDER PICTURES");
  process.exit(2);
}

/** The page, its program, what the components load by themselves, and Prometheus' answers. */
async function answer(route: Route, prometheus: string): Promise<void> {
  const path = new URL(route.request().url()).pathname;
  if (path.startsWith("/api/")) {
    return route.fulfill({ response: await route.fetch({ url: `${prometheus}${path}` }) });
  }
  if (path === "/") {
    return route.fulfill({ contentType: "text/html", body: HTML });
  }
  const font = /^\/public\/fonts\/inter\/Inter-(\w+)\.woff2$/.exec(path)?.[1] ?? "";
  const file = [
    ...(path === "/page.js" || path === "/page.css" ? [join(__dirname, path)] : []),
    ...(font in WEIGHTS ? [join(MODULES, `@fontsource/inter/files/inter-latin-${WEIGHTS[font]}.woff2`)] : []),
    ...(path.startsWith("/public/img/") ? [join(MODULES, "@grafana/ui/dist", path)] : []),
  ].find(existsSync);
  return file === undefined ? route.fulfill({ status: 404 }) : route.fulfill({ path: file });
}

/** A picture of a page that changes no more. */
async function settled(page: Page): Promise<Buffer> {
  let before = await page.screenshot();
  for (let times = 0; times < 30; times++) {
    const now = await page.screenshot();
    if (now.equals(before)) {
      return now;
    }
    before = now;
  }
  throw new Error("the page does not come to rest");
}

async function main(sources: Sources, folder: string, pictures: string): Promise<void> {
  // As root there is no sandbox; the pages are our own.
  const browser = await chromium.launch({ executablePath: "/usr/bin/chromium", args: ["--no-sandbox", "--disable-gpu"] });
  mkdirSync(pictures, { recursive: true });
  for (const name of readdirSync(folder).filter((name) => /^yagura-.*\.json$/.test(name))) {
    const dashboard = JSON.parse(readFileSync(join(folder, name), "utf8")) as Dashboard;
    // Tables draw what can be seen.
    const height = Math.max(...dashboard.panels.map(({ gridPos: { y, h } }) => y + h)) * ROW + GAP;
    const page = await browser.newPage({ viewport: { width: WIDTH, height } });
    const wrong: Error[] = [];
    page.on("pageerror", (error) => wrong.push(error));
    await page.route(`${PAGE}**`, (route) => answer(route, sources.prometheus));
    await page.goto(PAGE);
    await page.evaluate(([dashboard, sources]) => window.draw(dashboard, sources), [dashboard, sources] as const);
    const drawn = await settled(page);
    if (wrong.length > 0) {
      throw new AggregateError(wrong, name);
    }
    const picture = join(pictures, `${basename(name, ".json").replace("yagura-", "")}.png`);
    writeFileSync(picture, execFileSync("pngquant", ["--strip", "64", "-"], { input: drawn }));
    await page.close();
  }
  await browser.close();
}

void main(JSON.parse(readFileSync(file, "utf8")) as Sources, folder, pictures);
