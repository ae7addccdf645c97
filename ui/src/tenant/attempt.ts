// One streamed call, timed as its tenant sees it.
import { api, explained } from '../shell/session';

export const kMostTokens = 64;

export interface Trial {
  text: string;
  tokens: number;
  first_ms: number | null; // until the first token
  each_ms: number | null; // between the others
  over: boolean;
}

export async function attempt(target: string, prompt: string, show: (trial: Trial) => void): Promise<void> {
  const begun = performance.now();
  const body = { model: target, stream: true, max_tokens: kMostTokens, messages: [{ role: 'user', content: prompt }] };
  const trial: Trial = { text: '', tokens: 0, first_ms: null, each_ms: null, over: false };
  let first = 0;
  for await (const event of api.value!.events('/v1/chat/completions', new AbortController().signal, body)) {
    if (event.data === '[DONE]') break;
    const chunk = JSON.parse(event.data);
    if (chunk.error) throw new Error(chunk.error.message);
    const piece = chunk.choices?.[0]?.delta?.content;
    if (!piece) continue;
    first ||= performance.now();
    trial.first_ms = first - begun;
    trial.tokens += 1;
    trial.text += piece;
    show({ ...trial });
  }
  const each_ms = trial.tokens > 1 ? (performance.now() - first) / (trial.tokens - 1) : null;
  show({ ...trial, each_ms, over: true });
}

// In the gateway's or the pool's words where there are some.
export const failure = (e: unknown) => (e instanceof Error && !(e instanceof TypeError) ? e.message : explained(e));

export const timed = (t: Trial) =>
  `${t.tokens} tokens; the first after ${t.first_ms?.toFixed(0) ?? '–'} ms${t.each_ms === null ? '' : `, then one per ${t.each_ms.toFixed(1)} ms`}.`;
