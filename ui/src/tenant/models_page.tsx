// Models: where each would run now, for what price; a call to try it; what to write in one's own program.
import { useEffect, useState } from 'preact/hooks';
import { count } from '../shell/format';
import { href } from '../shell/route';
import { api, explained } from '../shell/session';
import { Card, Heading, Table } from '../shell/shell';
import { attempt, failure, kMostTokens, timed, type Trial } from './attempt';
import { Compare } from './compare';
import { Candidates, priceOf } from './explanation';
import { type Decision, type Model, resolvePath } from './gateway';
import { Scale } from './scale';
import { Snippet } from './snippet';

function Try({ target }: { target: string }) {
  const [prompt, setPrompt] = useState('What is a qanat?');
  const [trial, setTrial] = useState<Trial | null>(null);
  const [busy, setBusy] = useState(false);
  const [problem, setProblem] = useState('');
  const submit = async (event: Event) => {
    event.preventDefault();
    setBusy(true), setProblem(''), setTrial(null);
    await attempt(target, prompt, setTrial).catch((e) => setProblem(failure(e)));
    setBusy(false);
  };
  return (
    <form onSubmit={submit}>
      <label for="prompt">Prompt</label>
      <textarea id="prompt" value={prompt} required onInput={(e) => setPrompt(e.currentTarget.value)} />
      <p><button class="primary" disabled={busy}>Call it</button> <span class="soft">at most {kMostTokens} tokens, at the price above</span></p>
      <div aria-live="polite">
        {trial && <p class="answer">{trial.text}</p>}
        {trial?.over && <p class="soft">{timed(trial)} Its line is on the <a href={href('bill')}>bill</a>.</p>}
        <p class="bad">{problem}</p>
      </div>
    </form>
  );
}

export function ModelsPage() {
  const [models, setModels] = useState<Model[]>([]);
  const [chosen, setChosen] = useState('');
  const [target, setTarget] = useState('');
  const [decision, setDecision] = useState<Decision | null>(null);
  const [problem, setProblem] = useState('');
  const ask = (c_url: string) => {
    setTarget(c_url), setProblem('');
    api.value?.get<Decision>(resolvePath(c_url)).then(setDecision, (e) => (setDecision(null), setProblem(explained(e))));
  };
  const choose = (model: string) => (setChosen(model), ask(`c-url://any/infer/${model}`));
  useEffect(() => {
    api.value?.get<{ data: Model[] }>('/v1/models').then((m) => {
      setModels(m.data);
      if (m.data.length) choose(m.data[0].id);
    }, (e) => setProblem(explained(e)));
  }, []);
  return (
    <>
      <Heading>Models</Heading>
      <div class="columns">
        <Card title="On offer" class="wide">
          <Table label="Models" head={['Model', 'Longest context', 'Pools', '']} empty="No pool serves a model now." numbers={[1]}
                 rows={models.map((m) => [m.id, count(m.max_context), m.pools.join(', '), <button onClick={() => choose(m.id)} aria-pressed={m.id === chosen} aria-label={`Show ${m.id}`}>Show</button>])} />
        </Card>
        <Card title="Where it would run now, and for how much" class="wide">
          <form class="controls" onSubmit={(e) => (e.preventDefault(), ask(target))}>
            <label>C-URL <input size={60} class="c-url" value={target} onInput={(e) => setTarget(e.currentTarget.value)} /></label>
            <button>Resolve</button>
          </form>
          <p class="bad" role="alert">{problem}</p>
          {decision && <Candidates decision={decision} />}
          {decision && (
            <Table label="Prices" head={['Pool', 'CNY per million tokens']} rows={decision.candidates.filter((c) => c.filtered_by !== 'model').map((c) => [c.pool, priceOf(c)])} />
          )}
        </Card>
        <Card title="Try it"><Try target={target} /></Card>
        <Snippet target={target} />
        {decision && <Scale decision={decision} />}
        {chosen && <Compare models={models} first={chosen} />}
      </div>
    </>
  );
}
