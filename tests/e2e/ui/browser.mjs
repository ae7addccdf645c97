// A browser for the walks: Debian's Chromium, driven by playwright-core, judged by axe-core.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import process from 'node:process';

const require = createRequire(join(process.cwd(), 'package.json')); // the packages lie in the build folder
const { chromium } = require('playwright-core');
const axe = readFileSync(require.resolve('axe-core/axe.min.js'), 'utf8');

export class Walk {
  // Opens `url`; what any page asks of another host is an error of the walk, and so is any error of a script.
  static async begin(url, shots) {
    const walk = new Walk();
    walk.url = url;
    walk.shots = shots;
    walk.wrong = [];
    walk.own = new Set([new URL(url).origin]); // hosts that may be asked
    walk.bytes = 0;
    walk.browser = await chromium.launch({
      executablePath: process.env.QANAT_CHROMIUM,
      args: ['--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage', '--no-proxy-server'],
    });
    walk.context = await walk.browser.newContext({ viewport: { width: 1280, height: 860 }, reducedMotion: 'reduce' });
    walk.context.setDefaultTimeout(60_000);
    walk.page = await walk.context.newPage();
    // Whatever goes wrong, the page as it was then says more than the error.
    process.on('uncaughtException', async (error) => {
      console.error(error);
      await walk.page.screenshot({ path: join(shots, 'failed.png') }).catch(() => {});
      console.error(`at ${walk.page.url()}, ${walk.wrong.join('; ')}; see failed.png`);
      await walk.browser.close();
      process.exit(1);
    });
    walk.page.on('request', (r) => {
      if (!/^(blob|data):/.test(r.url()) && !walk.own.has(new URL(r.url()).origin)) walk.wrong.push(`asked ${r.url()}`);
    });
    walk.page.on('pageerror', (e) => walk.wrong.push(String(e)));
    walk.page.on('console', (m) => {
      // A refusal (401, 404) is logged by the browser itself.
      if (m.type() === 'error' && !m.text().startsWith('Failed to load resource')) walk.wrong.push(m.text());
    });
    const network = await walk.context.newCDPSession(walk.page);
    await network.send('Network.enable');
    network.on('Network.loadingFinished', (e) => (walk.bytes += e.encodedDataLength));
    return walk;
  }

  async end() {
    await this.browser.close();
    assert.deepEqual(this.wrong, [], 'requests to other hosts, script errors');
  }

  // A picture, and nothing that axe-core calls serious or critical.
  async judge(name) {
    await this.page.evaluate(() => scrollTo(0, 0));
    await this.page.screenshot({ path: join(this.shots, `${name}.png`), fullPage: true });
    await this.page.evaluate(axe);
    const { violations } = await this.page.evaluate(() => globalThis.axe.run(document, { resultTypes: ['violations'] }));
    const grave = violations.filter((v) => ['serious', 'critical'].includes(v.impact));
    assert.deepEqual(grave.map((v) => `${v.id}: ${v.help}: ${v.nodes.map((n) => n.html).slice(0, 3).join(' ')}`), [], name);
  }

  // At a phone's width nothing makes the page itself wider than the screen.
  async judge_on_phone(name) {
    await this.page.setViewportSize({ width: 390, height: 844 });
    await this.page.waitForTimeout(200);
    const [wide, screen] = await this.page.evaluate(() => [document.scrollingElement.scrollWidth, innerWidth]);
    assert.ok(wide <= screen, `${name}: ${wide} px wide on a screen of ${screen}`);
    await this.judge(name);
    await this.page.setViewportSize({ width: 1280, height: 860 });
  }

  // Clicks; where that changes the address, what comes of it is waited for by whoever needs it.
  async click(selector) {
    await this.page.locator(selector).first().click({ noWaitAfter: true });
  }

  async sign_in(token) {
    await this.page.fill('#token', token);
    await this.click('button.primary');
  }

  async refuses(token) {
    await this.sign_in(token);
    await this.page.waitForSelector('[role=alert]:has-text("Refused")');
  }

  // Waits until `check` holds for what is on the page.
  async until(check, argument, what, timeout = 60_000) {
    await this.page.waitForFunction(check, argument, { timeout, polling: 25 }).catch(async () => {
      const seen = await this.page.evaluate(() => document.querySelector('main')?.innerText ?? document.body.innerText);
      assert.fail(`not within ${timeout} ms: ${what}; the page says: ${seen.slice(0, 1500)}`);
    });
  }
}
