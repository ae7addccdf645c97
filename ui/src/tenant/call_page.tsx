// One call: what was asked, where it went and why, what it cost.
import { useEffect, useState } from 'preact/hooks';
import { dateTime, money } from '../shell/format';
import { api, explained } from '../shell/session';
import { Card, Heading, Table } from '../shell/shell';
import { Candidates } from './explanation';
import type { Call } from './gateway';

function Course({ call }: { call: Call }) {
  const decision = call.decision;
  return (
    <dl>
      <dt>Asked for</dt><dd>{decision?.request ?? call.model ?? '–'}</dd>
      <dt>Tier</dt><dd>{decision?.tier ?? '–'}</dd>
      <dt>SLA</dt><dd>{decision?.sla ? `first token within ${decision.sla.ttft_ms} ms, then one per ${decision.sla.tpot_ms} ms` : '–'}</dd>
      <dt>Went to</dt><dd>{call.pool ?? 'still under way'}{call.local && ' (local)'}</dd>
      <dt>Path</dt><dd>{call.path || (call.local ? 'did not leave the site' : '–')}</dd>
      <dt>Outcome</dt><dd>{call.outcome ?? 'still under way'}</dd>
      {call.started_unix_ms !== undefined && call.ended_unix_ms !== undefined && (
        <>
          <dt>When</dt><dd>{dateTime(call.started_unix_ms)}, took {call.ended_unix_ms - call.started_unix_ms} ms</dd>
        </>
      )}
    </dl>
  );
}

export function CallPage({ id }: { id: string }) {
  const [call, setCall] = useState<Call | null>(null);
  const [problem, setProblem] = useState('');
  useEffect(() => {
    setCall(null), setProblem('');
    api.value?.get<Call>(`/qanat/v1/calls/${encodeURIComponent(id)}`).then(setCall, (e) => setProblem(explained(e)));
  }, [id]);
  if (problem) return <><Heading>Call {id}</Heading><p class="bad" role="alert">{problem}</p></>;
  if (!call) return <Heading>Call {id} …</Heading>;
  return (
    <>
      <Heading>Call {call.call}</Heading>
      <div class="columns">
        <Card title="Its course"><Course call={call} /></Card>
        <Card title="Its price">
          <dl>
            <dt>Tokens in</dt><dd>{call.tokens_in ?? '–'}</dd>
            <dt>Tokens out</dt><dd>{call.tokens_out ?? '–'}</dd>
            <dt>Price version</dt><dd>{call.price ?? '–'}</dd>
            <dt>Amount</dt><dd><strong>{money(call.amount_nano)} CNY</strong></dd>
            <dt>Usage from</dt><dd>{call.usage_source ?? '–'}{call.reconciled && ', agrees with the pool\u2019s signed record'}</dd>
          </dl>
        </Card>
        {call.decision && <Card title="Why there" class="wide"><Candidates decision={call.decision} /></Card>}
        {call.decision?.tries && (
          <Card title="Tries" class="wide">
            <Table label="Tries" head={['Pool', 'Result']} rows={call.decision.tries.map((t) => [t.pool, t.result])} />
          </Card>
        )}
      </div>
    </>
  );
}
