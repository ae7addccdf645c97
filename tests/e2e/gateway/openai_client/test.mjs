// The npm package `openai`, unchanged, against a gateway: lists models, chats, streams with a C-URL as the model.
//   node test.mjs BASE_URL KEY C_URL MODEL        (run from the folder that holds node_modules)
import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import { pathToFileURL } from 'node:url';
import process from 'node:process';

const require = createRequire(process.cwd() + '/');
const { default: OpenAI } = await import(pathToFileURL(require.resolve('openai')).href);
const [baseURL, apiKey, cUrl, model] = process.argv.slice(2);
const client = new OpenAI({ baseURL, apiKey, maxRetries: 0 });
const messages = [{ role: 'user', content: 'Where does the water go?' }];

// 1. Models.
const models = [];
for await (const m of client.models.list()) models.push(m.id);
assert.ok(models.includes(model), `models: ${models}`);
assert.equal((await client.models.retrieve(model)).id, model);

// 2. A whole answer, by C-URL; the gateway's headers are there.
const { data: whole, response } = await client.chat.completions
  .create({ model: cUrl, messages, max_tokens: 7 })
  .withResponse();
assert.equal(whole.model, model);
assert.equal(whole.usage.completion_tokens, 7);
assert.ok(whole.choices[0].message.content.length > 0);
assert.match(response.headers.get('x-qanat-call'), /^call-[0-9a-f]{24}$/);
for (const name of ['x-qanat-pool', 'x-qanat-path', 'x-qanat-price', 'x-request-id'])
  assert.ok(response.headers.get(name), name);

// 3. A stream that did not ask for usage gets none.
let tokens = 0;
for await (const chunk of await client.chat.completions.create({ model: cUrl, messages, max_tokens: 9, stream: true })) {
  assert.ok(!('usage' in chunk), JSON.stringify(chunk));
  assert.equal(chunk.choices.length, 1);
  if (chunk.choices[0].delta.content) tokens += 1;
}
assert.equal(tokens, 9);

// 4. One that asked gets it once, at the end, with null before.
const usages = [];
let chunks = 0;
for await (const chunk of await client.chat.completions.create({
  model, messages, max_tokens: 5, stream: true, stream_options: { include_usage: true },
})) {
  chunks += 1;
  if (chunk.usage) usages.push([chunk.choices.length, chunk.usage.completion_tokens]);
  else assert.equal(chunk.usage, null);
}
assert.deepEqual(usages, [[0, 5]]);
assert.equal(chunks, 7);

// 5. The client's own stream helper.
const helped = await client.chat.completions.stream({ model, messages, max_tokens: 4 }).finalChatCompletion();
assert.equal(helped.choices[0].finish_reason, 'length');

// 6. Errors arrive as the client's own types.
const failure = async (make) => {
  try {
    await make();
  } catch (error) {
    return error;
  }
  assert.fail('no error');
};
const malformed = await failure(() => client.chat.completions.create({ model: 'c-url://any/infer/m?ttff=2s', messages }));
assert.ok(malformed instanceof OpenAI.BadRequestError);
assert.equal(malformed.code, 'invalid_c_url');
assert.equal(malformed.param, 'model');
assert.match(malformed.message, /character 2\d/);
assert.ok((await failure(() => client.chat.completions.create({ model: 'none', messages }))) instanceof OpenAI.NotFoundError);
const stranger = new OpenAI({ baseURL, apiKey: 'sk-qanat-wrong', maxRetries: 0 });
assert.ok((await failure(() => stranger.models.list())) instanceof OpenAI.AuthenticationError);

// 7. Leaving in the middle.
const left = await client.chat.completions.create({ model, messages, max_tokens: 5000, stream: true });
let seen = 0;
for await (const chunk of left) if (chunk.choices.length > 0 && ++seen === 3) break;
assert.equal(seen, 3);

// 8. Completions, whole and streamed.
const text = await client.completions.create({ model: cUrl, prompt: 'Where does the', max_tokens: 6 });
assert.equal(text.object, 'text_completion');
assert.equal(text.usage.completion_tokens, 6);
assert.ok(text.choices[0].text.length > 0);
let streamed = '';
for await (const chunk of await client.completions.create({ model, prompt: 'Where does the', max_tokens: 6, stream: true })) {
  assert.ok(!('usage' in chunk));
  streamed += chunk.choices[0].text;
}
assert.equal(streamed, text.choices[0].text);

// 9. Embeddings: the client asks for base64 by itself and hands out numbers.
const input = ['Where does the water go?', 'Who dug it?'];
const vectors = await client.embeddings.create({ model: cUrl, input, dimensions: 256 });
assert.deepEqual(vectors.data.map((d) => [d.index, d.embedding.length]), [[0, 256], [1, 256]]);
assert.equal(vectors.usage.prompt_tokens, vectors.usage.total_tokens);
const floats = await client.embeddings.create({ model, input: input[0], dimensions: 256, encoding_format: 'float' });
floats.data[0].embedding.forEach((x, i) => assert.ok(Math.abs(x - vectors.data[0].embedding[i]) < 1e-6));
const tooWide = await failure(() => client.embeddings.create({ model, input, dimensions: 1e6 }));
assert.equal(tooWide.param, 'dimensions');

// 9. Responses, whole and streamed, by the client's own helpers.
const answer = await client.responses.create({ model: cUrl, input: 'Where does the water go?', max_output_tokens: 6 });
assert.equal(answer.status, 'incomplete');
assert.equal(answer.incomplete_details.reason, 'max_output_tokens');
assert.equal(answer.usage.output_tokens, 6);
assert.ok(answer.output_text.length > 0);
let grown = '';
for await (const event of await client.responses.create({ model, input: 'So?', max_output_tokens: 6, stream: true }))
  if (event.type === 'response.output_text.delta') grown += event.delta;
const final = await client.responses.stream({ model, input: 'So?', instructions: 'Be brief.', max_output_tokens: 6 }).finalResponse();
assert.equal(final.usage.output_tokens, 6);
assert.equal(final.output_text, final.output[0].content[0].text);
assert.ok(grown.length > 0);
const stored = await failure(() => client.responses.create({ model, input: 'So?', previous_response_id: 'resp_1' }));
assert.ok(stored instanceof OpenAI.BadRequestError);
assert.equal(stored.param, 'previous_response_id');

// 10. A batch, from its file to its answers.
const calls = ['a', 'b'].map((id) => JSON.stringify({
  custom_id: id, method: 'POST', url: '/v1/chat/completions', body: { model: cUrl, messages, max_tokens: 4 },
}));
const file = await client.files.create({ purpose: 'batch', file: await OpenAI.toFile(Buffer.from(calls.join('\n')), 'calls.jsonl') });
const ordered = { input_file_id: file.id, endpoint: '/v1/chat/completions', completion_window: '24h' };
let batch = await client.batches.create(ordered);
for (let i = 0; i < 200 && batch.status !== 'completed'; i += 1) {
  await new Promise((resolve) => setTimeout(resolve, 50));
  batch = await client.batches.retrieve(batch.id);
}
assert.deepEqual(batch.request_counts, { total: 2, completed: 2, failed: 0 });
const answers = (await (await client.files.content(batch.output_file_id)).text()).trim().split('\n').map((text) => JSON.parse(text));
assert.deepEqual(answers.map((one) => one.custom_id).sort(), ['a', 'b']);
assert.equal(answers[0].response.body.usage.completion_tokens, 4);
const listed = [];
for await (const one of client.batches.list({ limit: 1 })) listed.push(one.id);
assert.ok(listed.includes(batch.id));
const unwanted = await client.batches.create(ordered);
assert.match((await client.batches.cancel(unwanted.id)).status, /^cancel/);
console.log(`openai on node ${process.version}: all fine`);
