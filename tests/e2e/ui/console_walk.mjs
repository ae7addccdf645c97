// The console's pages, as those walk them who run the gateway, and a supplier; then a tenant's jobs. Starts a gateway and
// three pools on this namespace's loopback, and ends them:
//   node console_walk.mjs BIN FOLDER SCREENSHOTS
//
//   gateway ─┬─ near    4 × L40, always up; two sequences at once, so that a burst is more than it holds
//            ├─ harbour 8 × H20, leased: two engines, behind the valve (mode "ask"); its supplier reads its statement and sets its offer
//            └─ school  8 × H20, another model: fine-tunes
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdirSync, openSync, rmSync, writeFileSync } from 'node:fs';
import http from 'node:http';
import { join } from 'node:path';
import { Walk } from './browser.mjs';

const [bin, folder, shots] = process.argv.slice(2);
const kModel = 'deepseek-r1-distill-qwen-32b', kTuned = 'qwen3-8b';
const kTenants = 18480, kConsole = 18481, kPools = { near: 18490, harbour: 18491, school: 18492 };
rmSync(folder, { recursive: true, force: true });
mkdirSync(folder, { recursive: true });
const at = (name) => join(folder, name);
const write = (name, text) => (writeFileSync(at(name), text), at(name));
const children = [];
const start = (program, name) => children.push(spawn(join(bin, program), ['--config', at(`${name}.toml`)], { stdio: ['ignore', openSync(at(`${name}.log`), 'a'), openSync(at(`${name}.log`), 'a')] }));
process.on('exit', () => children.forEach((child) => child.kill('SIGKILL')));
const pause = (ms) => new Promise((done) => setTimeout(done, ms));
const until = async (what, ask) => {
  for (let i = 0; i < 600; ++i, await pause(50)) {
    const found = await ask().catch(() => null);
    if (found) return found;
  }
  assert.fail(`not within 30 s: ${what}`);
};
const admin = (method, path, body) => new Promise((done, failed) => {
  const request = http.request({ socketPath: at('gateway.sock'), path, method }, (answer) => {
    let text = '';
    answer.on('data', (piece) => (text += piece)).on('end', () => done(JSON.parse(text)));
  });
  request.on('error', failed).end(body && JSON.stringify(body));
});

// The house.
for (const name of ['admin', 'viewer', 'harbour']) write(`${name}.token`, `the token of ${name}, for this walk\n`);
write('gateway.toml', `name = "city"
location = "gz.cn"
listen = ["127.0.0.1:${kTenants}"]
socket = "${at('gateway.sock')}"
ledger = "${at('ledger')}"
journal = "${at('journal')}"
[sla]
ttft_ms = 300
${Object.entries(kPools).map(([name, port]) => `[[pool]]\nurl = "http://127.0.0.1:${port}"\nlocal = ${name === 'near'}\n`).join('')}
[[valve]]
model = "${kModel}"
mode = "ask"
local_streams = 2
cool_down = "60s"
lead = "1s"
budget_nano = 900000000000
[[valve.placeholder]]
pool = "http://127.0.0.1:${kPools.harbour}"
engines = 2
streams = 20
[[valve.task]]
name = "morning round"
at = "8h"
lasts = "2h"
engines = 1
[artefacts]
folder = "${at('artefacts')}"
[console]
listen = "127.0.0.1:${kConsole}"
admin_token_file = "${at('admin.token')}"
viewer_token_file = "${at('viewer.token')}"
[[console.supplier]]
name = "harbour"
token_file = "${at('harbour.token')}"
pools = ["harbour"]
`);
start('qanat-gateway', 'gateway');
const store = await until('the gateway', async () => (await fetch(`http://127.0.0.1:${kTenants}/qanat/v1/store`)).json());
const pool = (name, cards, count, model, more, owner = '') => {
  write(`${name}.toml`, `id = "${name}"
provider = "pml"
location = "${name}.gz.cn"
site = "${name === 'near' ? 'city' : name}"
listen = "127.0.0.1:${kPools[name]}"
usage_db = "${at(`${name}.db`)}"
cards = "${cards}"
count = ${count}
models = ["${model}"]
${owner}[price]
input = 400
output = 1600
card = 2500000
${more}`);
  start('qanat-pool', name);
};
pool('near', 'L40', 4, kModel, '[engine]\ntime_scale = 20\nmax_num_seqs = 2\n');
pool('harbour', 'H20', 8, kModel, '[engine]\ntime_scale = 20\ntensor_parallel = 4\n[life]\nstart = "leased"\n', `owner_token_file = "${at('harbour.token')}"\n`);
pool('school', 'H20', 8, kTuned, `[engine]\ntime_scale = 300\n[artefacts]\nfolder = "${at('school-artefacts')}"\ntrust = ["${store.public_key}"]\n`);
const { key } = await admin('POST', '/v1/keys', { tenant: 'lab', name: 'walk' });
const ask = async (path, body, type = 'application/json') => {
  const answer = await fetch(`http://127.0.0.1:${kTenants}${path}`, { method: 'POST', headers: { authorization: `Bearer ${key}`, ...(type && { 'content-type': type }) }, body: type ? JSON.stringify(body) : body });
  return [answer.status, await answer.json()];
};
const call = (model = kModel) => ask('/v1/chat/completions', { model, max_tokens: 150, messages: [{ role: 'user', content: 'Water, please.' }] });
await until('three pools', async () => (await admin('GET', '/v1/pools')).filter((p) => p.fresh).length === 3);

const url = `http://127.0.0.1:${kConsole}/`;
const walk = await Walk.begin(url, shots);
const { page } = walk;
const nav = (label) => walk.click(`nav >> text=${label}`);

// 1. Sign-in: no made-up token, and no tenant's key.
await page.goto(url);
await page.waitForSelector('#token');
await walk.refuses('a token that nobody has');
await walk.refuses(key);
await walk.sign_in('the token of admin, for this walk');

// 2. Pools: what is up, and a placeholder that is cold.
await walk.until(() => /near · local/.test(document.body.textContent) && /cold · asleep/.test(document.body.textContent), null, 'pools and a cold placeholder');
await walk.judge('console-1-pools');

// 3. The valve: more calls than fit here make a plan with a price; confirmed, remote cards serve.
await nav('Valve');
await until('a plan', async () => {
  await Promise.all(Array.from({ length: 6 }, () => call()));
  return (await admin('GET', '/v1/valve-plans')).find((p) => p.state === 'waiting');
});
await page.waitForSelector('button >> text=/Confirm \\d+ CNY/');
assert.match(await page.locator('main').textContent(), /morning round.*from 8:00 of each period/);
await walk.judge('console-2-valve');
await walk.click('button >> text=/Confirm/');
await walk.until(() => [...document.querySelectorAll('td')].some((e) => e.textContent === 'serving'), null, 'remote cards serve');
await walk.judge('console-3-valve-open');
await nav('Pools');
await walk.until(() => /warm · serving/.test(document.body.textContent), null, 'the placeholder is warm');
await nav('Valve');
await walk.click('button >> text=Close and release all');
await walk.until(() => document.querySelector('[data-test=valve-state]')?.textContent === 'shut', null, 'released');

// What was served how well, and why not: who wants a token each millisecond is late.
await call(`c-url://any/infer/${kModel}?ttft=1ms&tpot=1ms`);
await nav('Service');
await walk.until(() => /lab.*qwen-32b/.test(document.querySelector('[aria-label=Grades]')?.textContent), null, 'the tenant is graded');
await walk.until(() => document.querySelectorAll('[aria-label=Misses] tbody tr').length > 0, null, 'misses with their cause');
await walk.judge('console-4-service');

// 4. A statement: what the pool earned, and both books the same.
await nav('Statement');
await page.selectOption('select >> nth=0', 'near');
await walk.until(() => Number.parseFloat(document.querySelector('[data-test=revenue]')?.textContent) > 0, null, 'revenue');
await walk.until(() => /agree to the nano/.test(document.body.textContent) && /signed, agrees/.test(document.body.textContent), null, 'signed records');
await walk.judge('console-5-statement');
await walk.judge_on_phone('console-6-phone');

// 5. Roles refuse: a viewer's buttons rest, and its requests are refused; a supplier has its own statement and offer alone.
const status = (token, path, method = 'GET') =>
  page.evaluate(async ([t, p, m]) => (await fetch(p, { method: m, headers: { authorization: `Bearer ${t}` } })).status, [token, path, method]);
const kViewer = 'the token of viewer, for this walk', kSupplier = 'the token of harbour, for this walk';
assert.equal(await status(kViewer, '/v1/pools'), 200);
assert.equal(await status(kViewer, `/v1/valves/${kModel}/close`, 'POST'), 403);
assert.equal(await status(kSupplier, '/v1/pools'), 403);
assert.equal(await status(kSupplier, '/v1/statements/near'), 403);
assert.equal(await status(kSupplier, '/v1/offers/near'), 403);
assert.equal(await status('', '/v1/pools'), 401);
await walk.click('text=Sign out');
await walk.sign_in(kViewer);
await nav('Valve');
await walk.until(() => [...document.querySelectorAll('button')].find((b) => b.textContent === 'By hand no more')?.disabled, null, 'a viewer changes nothing');
await walk.click('text=Sign out');
await walk.sign_in(kSupplier);
await nav('Statement');
await walk.until(() => /Revenue of harbour/.test(document.body.textContent), null, "the supplier's own");
assert.equal(await page.locator('nav a').count(), 2);
await walk.judge('console-7-supplier');
await nav('Offer');
await walk.until(() => document.querySelector('[data-test=open]')?.textContent === 'open', null, 'offered always');
await page.fill('[data-test=output]', '1.2');
await page.fill('[data-test=windows]', 'daily 00:00-24:00');
await walk.click('button >> text=Offer it so');
await walk.until(() => /1\.2 out/.test(document.body.textContent) && /daily 00:00-24:00/.test(document.querySelector('[aria-label=Hours]')?.textContent), null, 'the offer is in force');
await page.fill('[data-test=windows]', 'whenever');
await walk.click('button >> text=Offer it so');
await page.waitForSelector('[role=alert]:has-text("Refused")');
await walk.judge('console-8-offer');

// 6. A tenant's fine-tune on its way: upload, stage, train, return.
const form = new FormData();
const line = JSON.stringify({ messages: [{ role: 'user', content: 'Where does it spring?'.repeat(40) }, { role: 'assistant', content: 'In the hills.' }] });
form.append('purpose', 'fine-tune');
form.append('file', new Blob([`${line}\n`.repeat(2000)]), 'springs.jsonl');
const [uploaded, file] = await ask('/v1/files', form, null);
assert.equal(uploaded, 200, JSON.stringify(file));
walk.own.add(`http://127.0.0.1:${kTenants}`); // another door of the same host
await page.goto(`http://127.0.0.1:${kTenants}/`);
await page.waitForSelector('#token');
await walk.sign_in(key);
await walk.until(() => document.querySelectorAll('[aria-label=Comparison] thead th').length === 3, null, 'two models beside each other');
await page.fill('[data-test=streams]', '100');
const hourly = (c) => Number.parseFloat(c.replaceAll(',', ''));
assert.ok(hourly(await page.locator('[aria-label="Price before scaling"] tbody td >> nth=2').textContent()) > 0, 'the price before scaling');
await walk.judge('tenant-6-models-compared');
await nav('Jobs');
await until('a job', async () => {
  const [made, job] = await ask('/v1/fine_tuning/jobs', { model: kTuned, training_file: file.id, suffix: 'springs', x_qanat: { dataset_tokens: 30_000_000, checkpoint_steps: 40 } });
  return made === 200 && job;
});
await walk.until(() => /Train under way/.test(document.querySelector('.pipeline')?.textContent), null, 'training');
await page.screenshot({ path: join(shots, 'tenant-7-job-trains.png'), fullPage: true });
await walk.until(() => /Return done/.test(document.querySelector('.pipeline')?.textContent), null, 'its result is home');
assert.match(await page.locator('main').textContent(), /Upload done.*Train done.*Model made.*springs/s);
await walk.judge('tenant-8-job');
await walk.end();
console.log('console: pools, a plan confirmed, cards released, statements, roles refused, a job from upload to return');
process.exit(0);
