// The controller's pages, as an operator walks them. Runs on the lab's node that holds the controller:
//   node operator_walk.mjs STATE.json QANAT SCREENSHOTS FIGURES.json
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { createHmac } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { Walk } from './browser.mjs';

const [state_file, qanat, shots, figures_file] = process.argv.slice(2);
const state = JSON.parse(readFileSync(state_file, 'utf8'));
const [controller] = state.controllers;
const token = readFileSync(controller.token_file, 'utf8').trim();
const url = `http://${controller.northbound}/`;
const lab = (...command) => execFileSync(qanat, ['lab', '--lab', state.name, ...command]);
const figures = {};

// RFC 6238 as an authenticator has it: the code of the step so many after this one.
function one_time_code(base32, ahead) {
  const bits = [...base32].map((c) => 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567'.indexOf(c).toString(2).padStart(5, '0')).join('');
  const counter = Buffer.alloc(8);
  counter.writeBigUInt64BE(BigInt(Math.floor(Date.now() / 30_000) + ahead));
  const mac = createHmac('sha1', Buffer.from(bits.match(/.{8}/g).map((byte) => Number.parseInt(byte, 2)))).update(counter).digest();
  return String((mac.readUInt32BE(mac[19] & 15) & 0x7fffffff) % 1_000_000).padStart(6, '0');
}

// A tenant with a policy, besides the lab's own that has none.
const put = await fetch(`${url}v1/tenants/shop`, {
  method: 'PUT',
  headers: { authorization: `Bearer ${token}` },
  body: JSON.stringify({
    vni: 200,
    members: [
      { node: 'city', addresses: ['100.97.1.1/32'], prefixes: [], labels: ['web'] },
      { node: 'far', addresses: ['100.97.3.1/32'], prefixes: [], labels: ['db'] },
    ],
    policy: ['allow web -> db tcp/5432'],
  }),
});
assert.equal(put.status, 200, await put.text());

const walk = await Walk.begin(url, shots);
const { page } = walk;

// 1. Sign-in: small, soon there, and closed to whoever has no admin token.
let begun = Date.now();
await page.goto(url);
await page.waitForSelector('#token');
figures.first_view_ms = Date.now() - begun;
figures.first_view_bytes = walk.bytes;
assert.ok(walk.bytes > 10_000, 'the small page was served: were the web pages built?');
assert.ok(walk.bytes <= 500_000, `first view of ${walk.bytes} bytes`);
await walk.refuses('wrong');
await walk.refuses(state.gateways[0].key); // a tenant's key opens nothing here
await walk.judge('operator-1-sign-in');

// 2. The map: all nodes, and the path from the city to the far pool over the relay.
begun = Date.now();
await walk.sign_in(token);
await page.waitForSelector('.node');
figures.map_ms = Date.now() - begun;
// Interactive within 2 s: from an empty cache to a field that takes what is typed. On a busy machine the best of three
// counts, beyond what the browser needs for an empty page beside the same load.
const typed_ms = async (address) => {
  const fresh = await page.context().browser().newContext();
  const first = await fresh.newPage();
  const from = Date.now();
  await first.goto(address);
  await first.fill('#token', 'typed');
  const ms = Date.now() - from;
  await fresh.close();
  return ms;
};
figures.interactive_ms = Infinity;
let own_ms = Infinity; // the page's share
for (let trial = 1; trial <= 3 && own_ms > 2000; ++trial) {
  const blank_ms = await typed_ms('data:text/html,<input id="token">');
  const ms = await typed_ms(url);
  figures.interactive_ms = Math.min(figures.interactive_ms, ms);
  own_ms = Math.min(own_ms, ms - blank_ms);
}
assert.ok(own_ms <= 2000, JSON.stringify(figures));
const by = (text) => walk.until(([t]) => document.querySelector('[data-path="city-far"]')?.textContent.includes(t), [text], `city → far by ${text}`);
await by('relay, private');
assert.equal(await page.locator('.node').count(), 3);
const kTrack = '[data-track="city|relay|1|1"]';
await walk.until((s) => document.querySelector(s)?.classList.contains('used'), kTrack, 'the link that carries is marked');
await walk.judge('operator-2-map');

// 3. By keyboard: the first Tab offers the way to the content.
const focus = () => page.evaluate(() => document.activeElement.textContent);
await page.reload(); // the sign-in holds
await page.waitForSelector('.node');
await page.keyboard.press('Tab');
assert.match(await focus(), /To the content/);
await page.keyboard.press('Enter');
assert.equal(await focus(), 'Network');

// 4. A link is cut: it turns red, and the path moves, both within 2 s. On a busy machine the best of three counts.
const cut = async () => {
  await page.evaluate((track) => {
    globalThis.noticed = {};
    const look = () => {
      if (document.querySelector(track)?.classList.contains('failed')) globalThis.noticed.red ??= Date.now();
      const path = document.querySelector('[data-path="city-far"]')?.textContent;
      if (path && !path.includes('relay, private')) globalThis.noticed.moved ??= Date.now();
    };
    globalThis.watcher?.disconnect();
    globalThis.watcher = new MutationObserver(look);
    globalThis.watcher.observe(document.body, { subtree: true, childList: true, attributes: true, characterData: true });
  }, kTrack);
  lab('fault', 'city-relay-p1', 'down');
  const at = Date.now();
  await walk.until(() => globalThis.noticed.red, null, 'the cut link is red');
  await walk.until(() => globalThis.noticed.moved, null, 'the path has moved');
  const { red, moved } = await page.evaluate(() => globalThis.noticed);
  return { red_ms: red - at, moved_ms: moved - at };
};
const worse = ({ red_ms = Infinity, moved_ms = Infinity }) => Math.max(red_ms, moved_ms);
for (let trial = 1; trial <= 3; ++trial) {
  const seen = await cut();
  if (worse(seen) < worse(figures)) Object.assign(figures, seen);
  const colour = await page.locator(`${kTrack} .line`).evaluate((e) => getComputedStyle(e).stroke);
  assert.equal(colour, 'rgb(179, 38, 30)');
  if (trial === 1) await walk.judge('operator-3-cut');
  lab('clear', 'city-relay-p1');
  await walk.until((s) => !document.querySelector(s)?.classList.contains('failed'), kTrack, 'the link is good again');
  await by('relay, private');
  if (worse(figures) <= 2000) break;
}
assert.ok(worse(figures) <= 2000, JSON.stringify(figures));

// 5. The matrix, now and looking back; a link's and a node's page.
await walk.click('nav >> text=Matrix');
await walk.until(() => document.querySelectorAll('.heat td a').length === 6, null, 'six measured pairs');
await walk.until(() => Number(document.querySelector('input[type=range]')?.max) >= 3, null, 'three seconds of history');
await page.locator('input[type=range]').fill('3');
assert.match(await page.locator('.slider').textContent(), /3 s ago/);
await walk.judge('operator-4-matrix');
await walk.click('.heat td a[aria-label^="city to relay"]');
await page.waitForSelector('.chart canvas');
await walk.until(() => document.querySelector('main')?.textContent.includes('private'), null, 'the private plane by name');
await walk.judge('operator-5-link');
await walk.click('h1 >> text=relay');
await page.waitForSelector('h1 >> text=relay');
await walk.judge('operator-6-node');

// 6. Who reaches what, and the rule that decides.
await walk.click('nav >> text=Tenants');
const verdict = (from, to) => page.locator('section', { hasText: 'shop' }).locator('.reach tr', { has: page.locator(`th:text-is("${from}")`) })
  .locator('td.allowed, td.denied').first().textContent();
await page.locator('input[type=number]').fill('5432');
assert.match(await verdict('city', 'far'), /yes.*allow web -> db tcp\/5432/);
assert.match(await verdict('far', 'city'), /no.*default deny/);
await page.locator('input[type=number]').fill('22');
assert.match(await verdict('city', 'far'), /no.*default deny/);
await walk.judge('operator-7-tenants');

// 7. What if the relay failed: the city goes directly, and what the shop was promised breaks. Nothing is changed.
const apply = await fetch(`${url}v1/apply`, {
  method: 'POST',
  headers: { authorization: `Bearer ${token}` },
  body: JSON.stringify({ slas: [{ tenant: 'shop', tier: 'interactive', latency_ms: 1 }, { tenant: 'lab', tier: 'bulk', latency_ms: 30_000 }] }),
});
assert.equal(apply.status, 200, await apply.text());
await walk.click('nav >> text=Network');
await by('relay, private');  // where it was before the cut
await walk.click('nav >> text=What if');
await page.selectOption('select[aria-label="Box"]', 'relay');
// Beside a busy machine's other work, lists may still be on their way.
for (let asked = 0; asked < 10; ++asked) {
  await walk.click('button >> text=Ask');
  if (await page.waitForSelector('h2 >> text=/[1-9]\\d* of \\d+ pairs would move/', { timeout: 4000 }).catch(() => null)) break;
}
const moved = page.locator('section', { hasText: 'pairs would move' }).locator('tbody tr', { hasText: 'city' }).first();
assert.match(await moved.textContent(), /to relay.*to far/);
assert.match(await page.locator('main').textContent(), /Promises broken as it is.*shop/);
await walk.judge('operator-7-what-if');
await walk.click('nav >> text=Network');
await by('relay, private');

// 8. Events, in the dark and on a phone; then out.
await walk.click('nav >> text=Events');
await page.waitForSelector('td >> text=path changed');
await walk.judge('operator-8-events');
const themes = page.locator('button[aria-label^="Colours"]');
while (!(await themes.getAttribute('aria-label')).includes('dark')) await themes.click();
await walk.click('nav >> text=Network');
await page.waitForSelector('.node');
await walk.judge('operator-9-dark');
await walk.judge_on_phone('operator-10-phone');

// 9. People: an admin invites; who is invited enrols with an authenticator; roles refuse, and so does half of two factors.
await walk.click('nav >> text=Accounts');
await page.fill('form input >> nth=0', 'mira');
await walk.click('button >> text="Invite"');
const invitation = await page.locator('[data-test=invitation]').textContent();
await page.waitForSelector('td >> text=invited');
await walk.judge('operator-11-accounts');
await walk.click('text=Sign out');
await page.waitForSelector('#token');
const kPassword = 'water under the hill';
await walk.click('label >> text=Invitation');
await page.fill('#name', 'mira');
await page.fill('#invitation', invitation);
await page.fill('#password', kPassword);
await walk.click('button.primary');
const secret = (await page.locator('[data-test=secret]').textContent()).replaceAll(' ', '');
await page.fill('#code', one_time_code(secret, 0));
await walk.click('button.primary');
await page.waitForSelector('[aria-label="Recovery codes"]');
await walk.judge('operator-12-enrolled');
await walk.click('button >> text=Kept; sign in');
const as_mira = async (password, code) => {
  await page.fill('#name', 'mira');
  await page.fill('#password', password);
  await page.fill('#code', code);
  await walk.click('button.primary');
};
await as_mira(kPassword, '000000');
await page.waitForSelector('[role=alert]:has-text("Refused: name, password or code")');
await as_mira(kPassword, one_time_code(secret, 1)); // the enrolment's was good once
await page.waitForSelector('nav >> text=Network');
const session = await page.evaluate(() => sessionStorage.getItem('qanat-token'));
const refused = await fetch(`${url}v1/tenants/shop`, { method: 'DELETE', headers: { authorization: `Bearer ${session}` } });
assert.equal(refused.status, 403, 'a viewer changes nothing');
await walk.click('nav >> text=Accounts');
await page.waitForSelector("[role=alert]:has-text(\"this token's role is viewer\")");
await walk.click('text=Sign out');
await page.waitForSelector('#token');
await walk.until(async ([t]) => (await fetch('/v1/status', { headers: { authorization: `Bearer ${t}` } })).status === 401, [session], 'the session ends with signing out');
await walk.end();
writeFileSync(figures_file, JSON.stringify(figures, null, 2) + '\n');
console.log('operator:', JSON.stringify(figures));
