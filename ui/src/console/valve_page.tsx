// The valve: demand against what is up, plans with a price that wait for an answer, templates, what runs remotely, release.
import { count, dateTime, money } from '../shell/format';
import { usePolled, useChange } from '../shell/polled';
import { Card, Heading, Table } from '../shell/shell';
import { type Dispatch, me, type Nano, type Plan, type Task, type Uses, type Valve } from './admin';

const kModes: [Valve['mode'], string][] = [['auto', 'Automatic'], ['ask', 'Ask first'], ['closed', 'Closed']];
const may = () => me.value?.role === 'operator';
const hours = (s: number) => `${Math.floor(s / 3600)}:${String(Math.floor(s / 60) % 60).padStart(2, '0')}`;
const perHour = (nano_per_s: number, engines: number) => money(Math.round(nano_per_s * 3600 * engines));
const limited = (budget: Nano) => Number(budget) > 0;

function when(task: Task): string {
  const ways = [];
  if (task.at_s !== null) ways.push(`from ${hours(task.at_s)} of each period, for ${hours(task.lasts_s)} h`);
  if (task.streams_over !== null) ways.push(`while more than ${task.streams_over} calls want it`);
  return ways.join(', or ');
}

type Change = (method: string, path: string, body?: unknown) => Promise<void>;

function Waiting({ plans, change, busy }: { plans: Plan[]; change: Change; busy: boolean }) {
  const waiting = plans.filter((p) => p.state === 'waiting');
  const answer = (p: Plan, verb: string) => void change('POST', `/v1/valves/${encodeURIComponent(p.model)}/plans/${p.id}/${verb}`);
  return (
    <Card title="Plans that wait for an answer" class="wide">
      <Table label="Plans" empty="None. In mode “ask first” a plan comes here before a remote card is held."
             head={['Model', 'Would wake', 'CNY an hour', 'Calls now', 'expected', 'Until', '']} numbers={[2, 3, 4]}
             rows={waiting.map((p) => [
               p.model,
               p.engines.map((e) => `${e.engines} at ${e.pool}`).join(', '),
               <strong>{money(p.nano_per_hour)}</strong>, p.demand.toFixed(0), p.expected.toFixed(0), dateTime(p.expires_unix_ms),
               <span class="controls">
                 <button class="primary" disabled={busy || !may()} onClick={() => answer(p, 'confirm')}>Confirm {money(p.nano_per_hour)} CNY/h</button>
                 <button disabled={busy || !may()} onClick={() => answer(p, 'refuse')}>Refuse</button>
               </span>,
             ])} />
    </Card>
  );
}

function Line({ valve, change, busy }: { valve: Valve; change: Change; busy: boolean }) {
  const at = `/v1/valves/${encodeURIComponent(valve.model)}`;
  const price = (valve.placeholders.length ? Math.min(...valve.placeholders.map((p) => p.nano_per_s)) : 0);
  return (
    <Card title={valve.model} class="wide">
      <div class="controls">
        <fieldset class="segments" disabled={busy || !may()}>
          <legend>Mode</legend>
          {kModes.map(([mode, label]) => (
            <label key={mode}>
              <input type="radio" name={`mode-${valve.model}`} checked={valve.mode === mode} onChange={() => void change('PUT', `${at}/mode`, { mode })} />
              <span>{label}</span>
            </label>
          ))}
        </fieldset>
        <button disabled={busy || !may() || valve.mode === 'closed'} onClick={() => void change('POST', `${at}/open`, { engines: valve.by_hand + 1 })}>
          One engine more by hand{price > 0 && ` (from ${perHour(price, 1)} CNY/h)`}
        </button>
        <button disabled={busy || !may() || valve.by_hand === 0} onClick={() => void change('POST', `${at}/open`, { engines: 0 })}>By hand no more</button>
        <button disabled={busy || !may() || valve.mode === 'closed'} onClick={() => void change('POST', `${at}/close`)}>Close and release all</button>
      </div>
      <dl>
        <dt>It is</dt><dd><strong class={valve.state === 'shut' ? '' : 'good'} data-test="valve-state">{valve.state}</strong>{valve.by_hand > 0 && `, ${valve.by_hand} by hand`}</dd>
        <dt>Calls</dt>
        <dd>
          {valve.demand.toFixed(1)} now, {valve.expected.toFixed(1)} expected; {count(valve.local_streams)} fit here
          <meter class="level" min={0} max={Math.max(1, valve.local_streams, valve.demand)} high={Math.max(1, valve.local_streams * valve.open_at)} value={valve.demand} aria-label={`Calls for ${valve.model} against what fits here`} />
        </dd>
        <dt>Thresholds</dt><dd>opens above {(valve.open_at * 100).toFixed(0)} %, releases below {(valve.shut_at * 100).toFixed(0)} %</dd>
        <dt>Spent today</dt>
        <dd>
          {money(valve.spent_nano)} CNY{limited(valve.budget_nano) ? ` of ${money(valve.budget_nano)}` : ''}{valve.budget_reached && <span class="bad"> · used up: nothing more is woken</span>}
          {limited(valve.budget_nano) && <meter class="level" min={0} max={Number(valve.budget_nano)} high={Number(valve.budget_nano) * 0.8} value={Number(valve.spent_nano)} aria-label={`Budget of ${valve.model}`} />}
        </dd>
      </dl>
      <h3>Remote</h3>
      <Table label={`Remote engines of ${valve.model}`} empty="No placeholder." numbers={[3, 4, 5, 6, 7]}
             head={['Pool', 'Cards of an engine', 'State', 'Serving', 'Held', 'Engines', 'CNY an hour now', 'Card time, s']}
             rows={valve.placeholders.map((p) => [
               p.pool, `${p.cards_per_engine} × ${p.card || '?'}`, <span class={p.error ? 'bad' : p.serving ? 'good' : 'soft'}>{p.error || p.state}</span>,
               p.serving, p.held, p.engines, perHour(p.nano_per_s, p.held), (p.card_ms / 1000).toFixed(1),
             ])} />
      <h3>Templates</h3>
      <Table label={`Templates of ${valve.model}`} empty="None: [[valve.task]] in the configuration." head={['Task', 'When', 'Engines at least']} numbers={[2]}
             rows={valve.tasks.map((t) => [t.name, when(t), t.engines])} />
    </Card>
  );
}

export function ValvePage() {
  const valves = usePolled<Valve[]>('/v1/valves');
  const plans = usePolled<Plan[]>('/v1/valve-plans');
  const dispatches = usePolled<Dispatch[]>('/v1/dispatches');
  const uses = usePolled<Uses>('/v1/valve-uses', 5000);
  const { busy, refused, change } = useChange(() => [valves, plans, dispatches, uses].forEach((p) => p.again()));
  return (
    <>
      <Heading>Valve</Heading>
      <p class="bad" role="alert">{refused || valves.problem}</p>
      <div class="columns">
        <Waiting plans={plans.value ?? []} change={change} busy={busy} />
        {valves.value?.map((v) => <Line key={v.model} valve={v} change={change} busy={busy} />)}
        {valves.value?.length === 0 && <Card title="No valve" class="wide">[[valve]] in the gateway's configuration names a model and remote cards for it.</Card>}
        <Card title="Tasks dispatched" class="wide">
          <Table label="Dispatches" empty="None: `qanat valve dispatch` asks for cards by streams and SLA." numbers={[1, 3]}
                 head={['Model', 'Streams', 'Where', 'CNY an hour', 'State', 'Since', '']}
                 rows={(dispatches.value ?? []).map((d) => [
                   d.model, count(d.streams), d.placeholders.map((p) => `${p.engines} at ${p.pool}`).join(', '), money(d.nano_per_hour), d.state, dateTime(d.made_unix_ms),
                   <button disabled={busy || !may()} onClick={() => void change('DELETE', `/v1/dispatches/${encodeURIComponent(d.id)}`)}>Release</button>,
                 ])} />
        </Card>
        <Card title="Card time used" class="wide">
          {uses.value && <p class="soft">{(uses.value.card_ms / 1000).toFixed(1)} card-seconds, {money(uses.value.total_nano)} CNY, as the pools count them.</p>}
          <Table label="Card time" empty="None yet." numbers={[4, 5]} head={['Model', 'Pool', 'From', 'To', 'Card-seconds', 'CNY']}
                 rows={(uses.value?.lines ?? []).slice(0, 100).map((u) => [
                   u.model, u.pool, dateTime(u.began_unix_ms), u.ended_unix_ms ? dateTime(u.ended_unix_ms) : 'still held', (u.card_ms / 1000).toFixed(3), money(u.charged_nano),
                 ])} />
        </Card>
      </div>
    </>
  );
}
