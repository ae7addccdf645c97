// What to write in one's own program, by language.
import { useState } from 'preact/hooks';
import { Card } from '../shell/shell';

const kPrompt = 'What is a qanat?';
const kSnippets: [string, (target: string) => string][] = [
  ['Python', (target) => `from openai import OpenAI
client = OpenAI(base_url="${location.origin}/v1", api_key="YOUR KEY")
answer = client.chat.completions.create(
    model="${target}",
    messages=[{"role": "user", "content": "${kPrompt}"}])
print(answer.choices[0].message.content)`],
  ['JavaScript', (target) => `import OpenAI from 'openai';
const client = new OpenAI({ baseURL: '${location.origin}/v1', apiKey: 'YOUR KEY' });
const answer = await client.chat.completions.create({
  model: '${target}',
  messages: [{ role: 'user', content: '${kPrompt}' }],
});
console.log(answer.choices[0].message.content);`],
  ['curl', (target) => `curl ${location.origin}/v1/chat/completions \\
  -H 'authorization: Bearer YOUR KEY' -H 'content-type: application/json' \\
  -d '{"model": "${target}", "messages": [{"role": "user", "content": "${kPrompt}"}]}'`],
];

export function Snippet({ target }: { target: string }) {
  const [language, setLanguage] = useState(0);
  return (
    <Card title="From a program">
      <fieldset class="segments controls">
        <legend>In</legend>
        {kSnippets.map(([name], i) => (
          <label key={name}>
            <input type="radio" name="language" checked={language === i} onChange={() => setLanguage(i)} />
            <span>{name}</span>
          </label>
        ))}
      </fieldset>
      <pre tabIndex={0}>{kSnippets[language][1](target)}</pre>
    </Card>
  );
}
