// The gateway's pages, as a tenant walks them. Runs on the lab's node that holds the gateway:
//   node tenant_walk.mjs STATE.json SCREENSHOTS
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import http from 'node:http';
import { Walk } from './browser.mjs';

const [state_file, shots] = process.argv.slice(2);
const state = JSON.parse(readFileSync(state_file, 'utf8'));
const [gateway] = state.gateways;
const admin_token = readFileSync(state.controllers[0].token_file, 'utf8').trim();

// Another tenant, by the gateway's own socket.
const other = await new Promise((done, failed) => {
  const request = http.request({ socketPath: gateway.socket, path: '/v1/keys', method: 'POST' }, (answer) => {
    let text = '';
    answer.on('data', (piece) => (text += piece)).on('end', () => done(JSON.parse(text)));
  });
  request.on('error', failed).end(JSON.stringify({ tenant: 'other', name: 'walk' }));
});

const walk = await Walk.begin(gateway.url + '/', shots);
const { page } = walk;

// 1. Sign-in: neither a made-up key nor the controller's token.
await page.goto(gateway.url + '/');
await page.waitForSelector('#token');
await walk.refuses('sk-qanat-wrong');
await walk.refuses(admin_token);
await walk.judge('tenant-1-sign-in');
await walk.sign_in(gateway.key);

// 2. Models: where one would run, and a call to try it.
await walk.until(() => document.body.textContent.includes('chosen'), null, 'a pool is chosen');
await page.fill('.c-url', 'c-url://any/infer/deepseek-r1-distill-qwen-32b?accel=h20');
await walk.click('text=Resolve');
await walk.until(() => /left out: spec/.test(document.body.textContent), null, 'the L40 pool is left out for its card');
await walk.click('text=Call it');
await walk.until(() => /64 tokens; the first after/.test(document.body.textContent), null, 'the answer has come');
await walk.judge('tenant-2-models');

// How well it was served.
await walk.click('nav >> text=Service');
await walk.until(() => document.querySelectorAll('[aria-label=Grades] tbody tr').length === 1, null, 'its grade');
await walk.judge('tenant-2-service');

// 3. The bill: the call's line, and a total that is the sum of the lines.
await walk.click('nav >> text=Bill');
await page.waitForSelector('a[href^="#/call/"]');
const total = await page.locator('[data-test=total]').textContent();
assert.match(total, /^0\.0001\d* CNY$/); // 64 tokens at 1,600 nano, and a short prompt at 400
await walk.judge('tenant-3-bill');
await walk.judge_on_phone('tenant-4-phone');

// 4. The call's explanation: both candidates, why one was left out, the same amount as on the bill.
await walk.click('a[href^="#/call/"]');
await page.waitForSelector('text=Why there');
const text = await page.locator('main').textContent();
for (const part of ['far-h20', 'city-l40', 'left out: spec', 'chosen', total, 'completed']) assert.ok(text.includes(part), `${part} in: ${text}`);
await walk.judge('tenant-5-call');
const call = page.url();

// 5. Another tenant does not see it.
await walk.click('text=Sign out');
await walk.sign_in(other.key);
await page.goto(call);
await page.waitForSelector('[role=alert]:has-text("no call")');
await walk.end();
console.log('tenant: a call, its bill and its explanation; refused to others');
