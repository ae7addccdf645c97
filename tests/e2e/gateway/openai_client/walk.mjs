// A walk over everything that the gateway answers to a tenant of OpenAI's API, each body checked against the schemas of
// OpenAI's own OpenAPI document.
//   node walk.mjs BASE_URL KEY C_URL MODEL OPENAPI.json.gz POOR_KEY ONE_CALL_KEY HANDY      (run where node_modules is)
// POOR_KEY: its budget is used up. ONE_CALL_KEY: one call at a time. HANDY: the C-URL of a pool whose model calls tools.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import process from 'node:process';
import { gunzipSync } from 'node:zlib';

const require = createRequire(process.cwd() + '/');
const { default: Ajv } = require('ajv/dist/2020.js');
const [base, key, cUrl, model, document, poorKey, oneCallKey, handy] = process.argv.slice(2);

// The document is of OpenAPI 3.1, yet says `nullable` and `exclusiveMinimum: true` here and there, as 3.0 did; in 3.1 that is a
// choice with null, and a number.
const modern = (_, value) => {
  if (typeof value?.exclusiveMinimum === 'boolean') {
    const { exclusiveMinimum, minimum, ...others } = value;
    return exclusiveMinimum ? { ...others, exclusiveMinimum: minimum } : { ...others, minimum };
  }
  if (value?.nullable !== true) return value;
  const { nullable, ...rest } = value;
  return { anyOf: [rest, { type: 'null' }] };
};
const openapi = JSON.parse(gunzipSync(readFileSync(document)), modern);
const ajv = new Ajv({ strict: false, validateFormats: false, allErrors: true });
ajv.addSchema({ $id: 'openapi', components: openapi.components });
const schema = (name) => ajv.compile({ $ref: `openapi#/components/schemas/${name}` });
const is = {
  models: schema('ListModelsResponse'), model: schema('Model'), error: schema('ErrorResponse'),
  whole: schema('CreateChatCompletionResponse'), chunk: schema('CreateChatCompletionStreamResponse'),
  completion: schema('CreateCompletionResponse'), embeddings: schema('CreateEmbeddingResponse'), response: schema('Response'),
  file: schema('OpenAIFile'), files: schema('ListFilesResponse'), deleted: schema('DeleteFileResponse'),
  upload: schema('Upload'), part: schema('UploadPart'), batch: schema('Batch'), batches: schema('ListBatchesResponse'),
  job: schema('FineTuningJob'), jobs: schema('ListPaginatedFineTuningJobsResponse'),
  usage: schema('UsageResponse'), jobEvents: schema('ListFineTuningJobEventsResponse'), checkpoints: schema('ListFineTuningJobCheckpointsResponse'),
};
let checked = 0;
const check = (kind, body, what) => {
  checked += 1;
  assert.ok(is[kind](body), `${what}: ${JSON.stringify(body)}\n${JSON.stringify(is[kind].errors, null, 1)}`);
};
assert.ok(!is.whole({ id: 'x' }) && !is.error({ error: { code: 'x' } }), 'the validator refuses what is wrong');

const ask = (method, path, { body, as = key, headers = {} } = {}) =>
  fetch(base + path, {
    method,
    headers: { ...(as ? { authorization: `Bearer ${as}` } : {}), 'content-type': 'application/json', ...headers },
    body: body === undefined || typeof body === 'string' ? body : JSON.stringify(body),
  });
const good = async (kind, method, path, more) => {
  const response = await ask(method, path, more);
  const json = await response.json();
  assert.equal(response.status, 200, JSON.stringify(json));
  check(kind, json, `${method} ${path}`);
  return json;
};
const refused = async (status, code, method, path, more) => {
  const response = await ask(method, path, more);
  const json = await response.json();
  assert.equal(response.status, status, JSON.stringify(json));
  assert.equal(json.error.code, code);
  check('error', json, `${method} ${path} ${status}`);
};

const messages = [{ role: 'user', content: 'Where does the water go?' }];
const chat = (more) => ({ model, messages, max_tokens: 5, ...more });
const completions = '/chat/completions';
const events = async (more, path = completions, body = chat) => {
  const response = await ask('POST', path, { body: body({ stream: true, ...more }) });
  assert.match(response.headers.get('content-type'), /^text\/event-stream/);
  const data = (await response.text()).split('\n\n').filter(Boolean).map((event) => event.replace(/^data: /, ''));
  assert.equal(data.pop(), '[DONE]');
  return data.map((text) => JSON.parse(text));
};

// What works.
assert.equal((await good('models', 'GET', '/models')).data[0].id, model);
await good('model', 'GET', `/models/${model}`);
await good('whole', 'POST', completions, { body: chat({}) });
await good('whole', 'POST', completions, { body: chat({ model: cUrl, temperature: 0.2, top_p: 1, user: 'u', seed: 7 }) });
await good('whole', 'POST', completions, { body: chat({ max_tokens: undefined, max_completion_tokens: 3 }) });
await good('whole', 'POST', completions, { body: chat({ stop: ['the'], max_tokens: 50 }) });
await good('whole', 'POST', completions, {
  body: chat({ messages: [{ role: 'system', content: 'Be brief.' }, { role: 'user', content: [{ type: 'text', text: 'So?' }] }] }),
});
for (const chunk of await events({})) {
  check('chunk', chunk, 'a chunk');
  assert.ok(!('usage' in chunk));
}
const counted = await events({ stream_options: { include_usage: true } });
// The document knows no null there, the official service sends it: see gateway/relay/README.md.
for (const chunk of counted) {
  if (chunk.usage === null) delete chunk.usage;
  check('chunk', chunk, 'a chunk with usage');
}
assert.equal(counted.at(-1).usage.completion_tokens, 5);

const text = (more) => ({ model, prompt: 'Where does the', max_tokens: 5, ...more });
await good('completion', 'POST', '/completions', { body: text({}) });
await good('completion', 'POST', '/completions', { body: text({ model: cUrl, prompt: ['So'], stop: 'the', max_tokens: undefined }) });
const pieces = await events({ stream_options: { include_usage: true } }, '/completions', text);
// As above; and a choice that goes on has a null where the document knows only how it ended.
for (const piece of pieces) {
  if (piece.usage === null) delete piece.usage;
  for (const choice of piece.choices) choice.finish_reason ??= 'stop';
  check('completion', piece, 'a piece of a completion');
}
assert.equal(pieces.at(-1).usage.completion_tokens, 5);
const embed = (more) => ({ model, input: 'water', dimensions: 8, ...more });
await good('embeddings', 'POST', '/embeddings', { body: embed({}) });
assert.equal((await good('embeddings', 'POST', '/embeddings', { body: embed({ model: cUrl, input: ['a', 'b', 'c'] }) })).data.length, 3);

const respond = (more) => ({ model, input: 'Where does the water go?', max_output_tokens: 5, ...more });
await good('response', 'POST', '/responses', { body: respond({}) });
await good('response', 'POST', '/responses', {
  body: respond({
    model: cUrl, instructions: 'Be brief.', temperature: 0.2, top_p: 1, metadata: { a: 'b' }, store: true, user: 'u',
    input: [{ role: 'user', content: [{ type: 'input_text', text: 'So?' }] }, { role: 'assistant', content: 'Down.' }, { role: 'user', content: 'Why?' }],
  }),
});
const tools = [{ type: 'function', name: 'weather', parameters: { type: 'object', properties: {} } }];
const call = (await good('response', 'POST', '/responses', { body: respond({ model: handy, tools }) })).output[0];
assert.equal(call.type, 'function_call');
const told = [{ role: 'user', content: 'So?' }, call, { type: 'function_call_output', call_id: call.call_id, output: 'dry' }];
const dry = await good('response', 'POST', '/responses', { body: respond({ model: handy, tools, input: told }) });
assert.equal(dry.output[0].content[0].text, 'It is dry.');
// Of one-of-many schemas ajv's words are long: each event is held to the one of its type.
const eventNames = Object.fromEntries(
  openapi.components.schemas.ResponseStreamEvent.anyOf.map(({ $ref }) => {
    const name = $ref.split('/').at(-1);
    return [openapi.components.schemas[name].properties.type.enum[0], name];
  }),
);
const happenings = async (more) => {
  const response = await ask('POST', '/responses', { body: respond({ stream: true, ...more }) });
  assert.match(response.headers.get('content-type'), /^text\/event-stream/);
  const seen = (await response.text()).split('\n\n').filter(Boolean).map((event) => {
    const [, type, data] = event.match(/^event: (.*)\ndata: (.*)$/);
    const json = JSON.parse(data);
    assert.equal(json.type, type);
    is[type] ??= schema(eventNames[type]);
    check(type, json, type);
    return json;
  });
  seen.forEach((event, at) => assert.equal(event.sequence_number, at));
  return seen;
};
assert.equal((await happenings({})).at(-1).response.usage.output_tokens, 5);
assert.equal((await happenings({ model: handy, tools })).at(-1).response.output[0].arguments, '{"place":"delta"}');
assert.equal((await happenings({ model: handy, tools, input: told })).at(-1).type, 'response.completed');

// Files, uploads, batches, fine-tunes.
const send = async (kind, path, parts, status = 200) => {
  const form = new FormData();
  for (const [name, value] of Object.entries(parts)) form.append(name, ...[value].flat());
  const answer = await fetch(base + path, { method: 'POST', headers: { authorization: `Bearer ${key}` }, body: form });
  const json = await answer.json();
  assert.equal(answer.status, status, JSON.stringify(json));
  check(kind, json, `POST ${path}`);
  return json;
};
const until = async (kind, path, ready) => {
  for (let i = 0; i < 200; i += 1) {
    const json = await good(kind, 'GET', path);
    if (ready(json)) return json;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  assert.fail(path);
};
const dialogue = { messages: [{ role: 'user', content: 'So?' }, { role: 'assistant', content: 'Down.' }] };
const lesson = Array(20).fill(JSON.stringify(dialogue)).join('\n');
const calls = ['a', 'b', 'c'].map((id) => ({
  custom_id: id, method: 'POST', url: '/v1/chat/completions', body: chat(id === 'c' ? { model: 'none' } : {}),
}));
const lines = calls.map((call) => JSON.stringify(call)).join('\n');
const training = await send('file', '/files', { purpose: 'fine-tune', file: [new Blob([lesson]), 'lesson.jsonl'] });
const input = await send('file', '/files', { purpose: 'batch', file: [new Blob([lines]), 'calls.jsonl'] });
await good('file', 'GET', `/files/${input.id}`);
await good('files', 'GET', '/files');
await good('files', 'GET', '/files?purpose=batch');
const upload = await good('upload', 'POST', '/uploads', {
  body: { filename: 'long.jsonl', purpose: 'fine-tune', bytes: lesson.length, mime_type: 'text/jsonl' },
});
const part = await send('part', `/uploads/${upload.id}/parts`, { data: [new Blob([lesson]), 'part'] });
const complete = await good('upload', 'POST', `/uploads/${upload.id}/complete`, { body: { part_ids: [part.id] } });
const dropped = await good('upload', 'POST', '/uploads', {
  body: { filename: 'none.jsonl', purpose: 'batch', bytes: 1, mime_type: 'text/jsonl' },
});
await good('upload', 'POST', `/uploads/${dropped.id}/cancel`);
await good('deleted', 'DELETE', `/files/${complete.file.id}`);

const ordered = { input_file_id: input.id, endpoint: '/v1/chat/completions', completion_window: '24h', metadata: { of: 'walk' } };
const batch = await good('batch', 'POST', '/batches', { body: ordered });
const done = await until('batch', `/batches/${batch.id}`, (now) => now.status === 'completed');
assert.deepEqual(done.request_counts, { total: 3, completed: 2, failed: 1 });
await good('batches', 'GET', '/batches?limit=1');
for (const id of [done.output_file_id, done.error_file_id]) await good('file', 'GET', `/files/${id}`);
const answers = await (await ask('GET', `/files/${done.output_file_id}/content`)).text();
for (const answer of answers.trim().split('\n')) check('whole', JSON.parse(answer).response.body, 'an answer of a batch');
const unread = await send('file', '/files', { purpose: 'batch', file: [new Blob(['water']), 'none.jsonl'] });
const failed = await good('batch', 'POST', '/batches', { body: { ...ordered, input_file_id: unread.id } });
await until('batch', `/batches/${failed.id}`, (now) => now.status === 'failed');

const job = await good('job', 'POST', '/fine_tuning/jobs', { body: { model, training_file: training.id } });
// The document has the call, and no status for what comes of it: see gateway/relay/README.md.
const paused = await (await ask('POST', `/fine_tuning/jobs/${job.id}/pause`)).json();
assert.equal(paused.status, 'paused');
check('job', { ...paused, status: 'queued' }, 'a paused job');
await good('job', 'POST', `/fine_tuning/jobs/${job.id}/resume`);
await good('job', 'GET', `/fine_tuning/jobs/${job.id}`);
await good('jobs', 'GET', '/fine_tuning/jobs');
await good('jobEvents', 'GET', `/fine_tuning/jobs/${job.id}/events`);
await good('checkpoints', 'GET', `/fine_tuning/jobs/${job.id}/checkpoints`);
const tuned = await until('job', `/fine_tuning/jobs/${job.id}`, (now) => ['succeeded', 'failed'].includes(now.status));
assert.equal(tuned.status, 'succeeded', JSON.stringify(tuned));
assert.ok((await good('checkpoints', 'GET', `/fine_tuning/jobs/${job.id}/checkpoints`)).data.length > 0);
const second = await good('job', 'POST', '/fine_tuning/jobs', { body: { model, training_file: training.id, seed: 2 } });
await good('job', 'POST', `/fine_tuning/jobs/${second.id}/cancel`);

// Usage and costs: in whatever pieces, they come to what the bill does.
const since = Math.floor(Date.now() / 1000) - 3600;
const organization = async (path, more = '') => {
  const found = [];
  for (let page = ''; page !== null; ) {
    const one = await good('usage', 'GET', `/organization/${path}?start_time=${since}${more}${page}`);
    found.push(...one.data.flatMap((bucket) => bucket.results));
    page = one.next_page === null ? null : `&page=${one.next_page}`;
  }
  return found;
};
const total = (found, member) => found.reduce((sum, one) => sum + one[member], 0);
const own = async (path) => (await fetch(new URL(path, base), { headers: { authorization: `Bearer ${key}` } })).json();
const vectorsOf = await organization('usage/embeddings', '&bucket_width=1m&limit=10');
const billed = await own('/qanat/v1/bill');
for (const more of ['', '&bucket_width=1h&limit=1', '&bucket_width=1m&limit=7&group_by[]=model&group_by[]=api_key_id&group_by[]=batch']) {
  const used = await organization('usage/completions', more);
  assert.equal(total(used, 'output_tokens'), billed.tokens_out, more);
  assert.equal(total(used, 'input_tokens') + total(vectorsOf, 'input_tokens'), billed.tokens_in, more);
}
assert.ok(total(vectorsOf, 'num_model_requests') >= 2);
const ofBatches = await organization('usage/completions', '&batch=true&group_by[]=project_id');
assert.ok(total(ofBatches, 'num_model_requests') >= 2);
const services = await own('/qanat/v1/services');
const costs = await organization('costs', '&group_by=line_item');
const nano = costs.reduce((sum, one) => sum + Math.round(one.amount.value * 1e9), 0);
assert.equal(nano, billed.total_nano + services.total_nano);
assert.ok(costs.some((one) => one.line_item === 'finetune'), JSON.stringify(costs));
await refused(400, 'invalid_value', 'GET', '/organization/costs');
await refused(400, 'invalid_value', 'GET', '/organization/costs?start_time=0&bucket_width=1h');
await refused(400, 'invalid_value', 'GET', '/organization/usage/completions?start_time=0&group_by[]=moon');
await refused(400, 'invalid_value', 'GET', '/organization/usage/completions?start_time=9&end_time=9');
await refused(400, 'invalid_value', 'GET', '/organization/usage/completions?start_time=9&page=page_1');

// What is refused, and how.
await refused(404, 'not_found', 'GET', '/files/file-none');
await refused(404, 'not_found', 'GET', '/batches/batch_none');
await refused(404, 'not_found', 'GET', '/fine_tuning/jobs/ftjob-none');
await refused(400, 'missing_required_parameter', 'POST', '/fine_tuning/jobs', { body: { model } });
await refused(400, 'missing_required_parameter', 'POST', '/batches', { body: { endpoint: '/v1/embeddings' } });
await refused(400, 'invalid_value', 'POST', '/batches', { body: { ...ordered, completion_window: '1h' } });
await refused(404, 'no_such_artefact', 'POST', '/batches', { body: { ...ordered, input_file_id: 'file-none' } });
await refused(409, 'batch_is_over', 'POST', `/batches/${batch.id}/cancel`);
await refused(400, 'invalid_training_file', 'POST', '/fine_tuning/jobs', { body: { model, training_file: unread.id } });
await refused(401, 'invalid_api_key', 'GET', '/models', { as: '' });
await refused(401, 'invalid_api_key', 'POST', completions, { as: 'sk-qanat-wrong', body: chat({}) });
await refused(404, 'model_not_found', 'GET', '/models/none');
await refused(404, 'model_not_found', 'POST', completions, { body: chat({ model: 'none' }) });
await refused(404, 'no_such_path', 'POST', '/images/generations', { body: { model, prompt: 'x' } });
await refused(405, 'method_not_allowed', 'DELETE', '/models');
await refused(413, 'body_too_large', 'POST', completions, { body: `{"model":"${'x'.repeat(17 * 1024 * 1024)}"}` });
await refused(400, 'invalid_json', 'POST', completions, { body: 'water' });
await refused(400, 'missing_required_parameter', 'POST', completions, { body: { messages } });
await refused(400, 'invalid_type', 'POST', completions, { body: chat({ stream: 'yes' }) });
await refused(400, 'invalid_value', 'POST', completions, { body: chat({ max_tokens: 0 }) });
await refused(400, 'invalid_c_url', 'POST', completions, { body: chat({ model: 'c-url://any/infer/m?ttff=2s' }) });
await refused(400, 'duplicate_parameter', 'POST', completions, { body: `{"model":"${model}","model":"x","messages":[]}` });
await refused(503, 'nothing_fits', 'POST', completions, { body: chat({ model: `c-url://any/infer/${model}?accel=b200` }) });
await refused(429, 'insufficient_quota', 'POST', completions, { as: poorKey, body: chat({}) });
// The pool's own words.
await refused(400, 'invalid_value', 'POST', completions, { body: chat({ messages: [] }) });
await refused(400, 'unsupported_parameter', 'POST', completions, { body: chat({ n: 2 }) });
await refused(400, 'unsupported_parameter', 'POST', completions, { body: chat({ logprobs: true }) });
await refused(400, 'unsupported_parameter', 'POST', completions, { body: chat({ response_format: { type: 'json_object' } }) });
await refused(400, 'unsupported_parameter', 'POST', '/completions', { body: text({ best_of: 2 }) });
await refused(400, 'unsupported_parameter', 'POST', '/completions', { body: text({ prompt: ['a', 'b'] }) });
await refused(400, 'unsupported_parameter', 'POST', '/embeddings', { body: embed({ input: [1, 2] }) });
await refused(400, 'invalid_value', 'POST', '/embeddings', { body: embed({ dimensions: 1000000 }) });
await refused(404, 'model_not_found', 'POST', '/embeddings', { body: embed({ model: 'none' }) });
await refused(429, 'insufficient_quota', 'POST', '/embeddings', { as: poorKey, body: embed({}) });
for (const [member, value] of [
  ['previous_response_id', 'resp_1'], ['conversation', 'conv_1'], ['background', true], ['truncation', 'auto'], ['tools', [{ type: 'web_search' }]],
])
  await refused(400, 'unsupported_parameter', 'POST', '/responses', { body: respond({ [member]: value }) });
await refused(400, 'unsupported_parameter', 'POST', '/responses', { body: respond({ tools }) }); // the pool's own words
await refused(400, 'missing_required_parameter', 'POST', '/responses', { body: { model } });
await refused(404, 'model_not_found', 'POST', '/responses', { body: respond({ model: 'none' }) });
await refused(429, 'insufficient_quota', 'POST', '/responses', { as: poorKey, body: respond({}) });
await refused(404, 'no_such_path', 'GET', '/responses/resp_1');
// A key's second call at once, a repeat that differs.
const leave = new AbortController();
const first = await fetch(base + completions, {
  method: 'POST', signal: leave.signal, headers: { authorization: `Bearer ${oneCallKey}` },
  body: JSON.stringify(chat({ stream: true, max_tokens: 5000 })),
});
await refused(429, 'rate_limit_exceeded', 'POST', completions, { as: oneCallKey, body: chat({}) });
leave.abort();
await first.body.cancel().catch(() => {});
const once = { 'idempotency-key': 'walk-1' };
await good('whole', 'POST', completions, { headers: once, body: chat({}) });
await good('whole', 'POST', completions, { headers: once, body: chat({}) });
const again = { 'idempotency-key': 'walk-2' };
const vectors = await good('embeddings', 'POST', '/embeddings', { headers: again, body: embed({}) });
assert.deepEqual(await good('embeddings', 'POST', '/embeddings', { headers: again, body: embed({}) }), vectors);
const thrice = { 'idempotency-key': 'walk-3' };
const response = await good('response', 'POST', '/responses', { headers: thrice, body: respond({}) });
assert.deepEqual(await good('response', 'POST', '/responses', { headers: thrice, body: respond({}) }), response);
await refused(422, 'idempotency_key_reused', 'POST', '/responses', { headers: thrice, body: respond({ metadata: { other: 'x' } }) });
await refused(422, 'idempotency_key_reused', 'POST', completions, { headers: once, body: chat({ max_tokens: 6 }) });
console.log(`openapi ${openapi.info.version}: ${checked} bodies as written there`);
