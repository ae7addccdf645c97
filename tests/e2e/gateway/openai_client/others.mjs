// Clients that others wrote, unchanged, against a gateway: `ai` with `@ai-sdk/openai-compatible`, `@langchain/openai`,
// `@openai/agents`. Each chats, streams, meets the errors it knows; what a pool cannot do (tools) is a typed refusal.
//   node others.mjs BASE_URL KEY C_URL MODEL HANDY      (run from the folder that holds node_modules)
// HANDY: the C-URL of a pool whose model calls tools.
import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import { pathToFileURL } from 'node:url';
import process from 'node:process';

const require = createRequire(process.cwd() + '/');
const load = (name) => import(pathToFileURL(require.resolve(name)).href);
const [baseURL, apiKey, cUrl, model, handy] = process.argv.slice(2);
const prompt = 'Where does the water go?';
const failure = async (make) => {
  try {
    await make();
  } catch (error) {
    return error;
  }
  assert.fail('no error');
};

async function aiSdk() {
  const { generateText, streamText, tool, jsonSchema, stepCountIs } = await load('ai');
  const { createOpenAICompatible } = await load('@ai-sdk/openai-compatible');
  const from = (key) => createOpenAICompatible({ name: 'qanat', baseURL, apiKey: key, includeUsage: true });
  const ours = from(apiKey)(cUrl);

  const whole = await generateText({ model: ours, prompt, maxOutputTokens: 7, maxRetries: 0 });
  assert.ok(whole.text.length > 0);
  assert.equal(whole.usage.outputTokens, 7);
  assert.equal(whole.finishReason, 'length');
  assert.match(whole.response.headers['x-qanat-call'], /^call-/);

  const stream = streamText({ model: from(apiKey)(model), prompt, maxOutputTokens: 9, maxRetries: 0 });
  let pieces = 0;
  for await (const piece of stream.textStream) if (piece) pieces += 1;
  assert.equal(pieces, 9);
  assert.equal((await stream.usage).outputTokens, 9);

  const unknown = await failure(() => generateText({ model: from(apiKey)('none'), prompt, maxRetries: 0 }));
  assert.equal(unknown.statusCode, 404);
  assert.equal(JSON.parse(unknown.responseBody).error.code, 'model_not_found');
  const stranger = await failure(() => generateText({ model: from('sk-qanat-wrong')(model), prompt, maxRetries: 0 }));
  assert.equal(stranger.statusCode, 401);
  const weather = tool({ description: 'the weather', inputSchema: jsonSchema({ type: 'object', properties: {} }) });
  const tools = await failure(() => generateText({ model: ours, prompt, tools: { weather }, maxRetries: 0 }));
  assert.equal(tools.statusCode, 400);
  assert.equal(JSON.parse(tools.responseBody).error.param, 'tools');

  // A tool's call and what it told, there and back through the gateway.
  const asked = [];
  const place = jsonSchema({ type: 'object', properties: { place: { type: 'string' } } });
  const dry = tool({ description: 'the weather', inputSchema: place, execute: (input) => (asked.push(input.place), 'dry') });
  const both = { model: from(apiKey)(handy), prompt, tools: { dry }, stopWhen: stepCountIs(2), maxRetries: 0 };
  assert.equal((await generateText(both)).text, 'It is dry.');
  assert.equal(await streamText(both).text, 'It is dry.');
  assert.deepEqual(asked, ['delta', 'delta']);
}

async function langChain() {
  const { ChatOpenAI } = await load('@langchain/openai');
  const chat = (options) =>
    new ChatOpenAI({ model: cUrl, apiKey, maxRetries: 0, maxTokens: 7, configuration: { baseURL }, ...options });

  const whole = await chat({}).invoke(prompt);
  assert.ok(whole.content.length > 0);
  assert.equal(whole.usage_metadata.output_tokens, 7);

  let text = 0;
  let usage;
  for await (const chunk of await chat({ model, maxTokens: 9 }).stream(prompt)) {
    if (chunk.content) text += 1;
    if (chunk.usage_metadata) usage = chunk.usage_metadata;
  }
  assert.equal(text, 9);
  assert.equal(usage.output_tokens, 9);

  const both = await chat({ maxTokens: 3 }).batch([prompt, 'And the sand?']);
  assert.equal(both.length, 2);
  assert.equal((await failure(() => chat({ model: 'none' }).invoke(prompt))).status, 404);
  assert.equal((await failure(() => chat({ apiKey: 'sk-qanat-wrong' }).invoke(prompt))).status, 401);
  const withTools = chat({}).bindTools([
    { type: 'function', function: { name: 'weather', parameters: { type: 'object', properties: {} } } },
  ]);
  const refused = await failure(() => withTools.invoke(prompt));
  assert.equal(refused.status, 400);
  assert.equal(refused.code, 'unsupported_parameter');
  const called = await chat({ model: handy })
    .bindTools([{ type: 'function', function: { name: 'weather', parameters: { type: 'object', properties: {} } } }])
    .invoke(prompt);
  assert.deepEqual(called.tool_calls[0].args, { place: 'delta' });
}

// By both of its ways: responses, as it comes, and chats.
async function agents() {
  const { Agent, run, tool, setDefaultOpenAIClient, setOpenAIAPI, setTracingDisabled } = await load('@openai/agents');
  const { default: OpenAI } = await load('openai');
  setTracingDisabled(true); // it would call home
  setDefaultOpenAIClient(new OpenAI({ baseURL, apiKey, maxRetries: 0 }));
  for (const api of ['responses', 'chat_completions']) {
    setOpenAIAPI(api);
    const agent = new Agent({ name: 'guide', instructions: 'Be brief.', model: cUrl, modelSettings: { maxTokens: 7 } });

    const whole = await run(agent, prompt);
    assert.ok(whole.finalOutput.length > 0);
    assert.equal(whole.rawResponses[0].usage.outputTokens, 7);

    const stream = await run(agent, prompt, { stream: true });
    let pieces = 0;
    for await (const piece of stream.toTextStream()) if (piece) pieces += 1;
    await stream.completed;
    assert.equal(pieces, 7);

    const lost = new Agent({ name: 'lost', instructions: 'Be brief.', model: 'none' });
    assert.equal((await failure(() => run(lost, prompt))).status, 404);
    const parameters = { type: 'object', properties: {}, required: [], additionalProperties: false };
    const weather = tool({ name: 'weather', description: 'the weather', parameters, strict: true, execute: () => 'dry' });
    const clumsy = new Agent({ name: 'clumsy', instructions: 'Be brief.', model: cUrl, tools: [weather] });
    assert.equal((await failure(() => run(clumsy, prompt))).status, 400);
    const asked = [];
    const where = { type: 'object', properties: { place: { type: 'string' } }, required: ['place'], additionalProperties: false };
    const dry = tool({
      name: 'dry', description: 'the weather', parameters: where, strict: true, execute: ({ place }) => (asked.push(place), 'dry'),
    });
    const able = new Agent({ name: 'able', instructions: 'Be brief.', model: handy, tools: [dry] });
    const first = await run(able, prompt);
    assert.equal(first.finalOutput, 'It is dry.');
    const more = await run(able, [...first.history, { role: 'user', content: 'And now?' }], { stream: true });
    let told = '';
    for await (const piece of more.toTextStream()) told += piece;
    await more.completed;
    assert.equal(told, 'It is dry.');
    assert.deepEqual(asked, ['delta']);
  }
}

for (const client of [aiSdk, langChain, agents]) {
  await client();
  console.log(`${client.name}: all fine`);
}
