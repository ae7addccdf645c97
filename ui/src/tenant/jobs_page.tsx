// Jobs and transfers: how far each is on its way from upload over staging and training to the result's return.
import { count, dateTime, money } from '../shell/format';
import { usePolled, useChange } from '../shell/polled';
import { Card, Heading, Table } from '../shell/shell';
import type { File, Transfer, Tune } from './jobs';

type Stage = 'upload' | 'stage' | 'train' | 'return';
const kStages: [Stage, string][] = [['upload', 'Upload'], ['stage', 'Stage'], ['train', 'Train'], ['return', 'Return']];

// Where a job is now: everything before is done. Null: all of it is.
export function stageOf(job: Tune, file: File | undefined): Stage | null {
  if (job.status === 'succeeded') return null;
  const own = job.x_qanat;
  if (file && file.status !== 'processed') return 'upload';
  if (job.status !== 'running' && !own.step) return 'stage';
  return own.steps > 0 && own.step >= own.steps ? 'return' : 'train';
}

function Pipeline({ job, file }: { job: Tune; file: File | undefined }) {
  const now = stageOf(job, file);
  const ended = job.status === 'failed' || job.status === 'cancelled';
  const at = kStages.findIndex(([stage]) => stage === now);
  const words = (i: number) => (at < 0 || i < at ? 'done' : i > at ? 'to come' : ended ? job.status : 'under way');
  return (
    <ol class="pipeline" aria-label={`Pipeline of ${job.id}`}>
      {kStages.map(([stage, label], i) => (
        <li key={stage} class={words(i).replace(' ', '-')} aria-current={i === at ? 'step' : undefined}>
          {label} <small>{words(i)}</small>
        </li>
      ))}
    </ol>
  );
}

const kOver = ['succeeded', 'failed', 'cancelled'];

function Job({ job, file, again }: { job: Tune; file: File | undefined; again: () => void }) {
  const { busy, refused, change } = useChange(again);
  const own = job.x_qanat;
  const turn = (verb: string) => void change('POST', `/v1/fine_tuning/jobs/${encodeURIComponent(job.id)}/${verb}`);
  return (
    <Card title={`${job.id}: ${job.model}`} class="wide">
      <Pipeline job={job} file={file} />
      <dl>
        <dt>Status</dt><dd>{job.status}{job.error?.message && <span class="bad"> · {job.error.message}</span>}</dd>
        <dt>Where</dt><dd>{own.pool ?? own.ran_at ?? 'not placed yet'}{own.moves > 1 && `, after ${own.moves - 1} ${own.moves === 2 ? 'move' : 'moves'}`}</dd>
        <dt>Steps</dt>
        <dd>
          {count(own.step ?? 0)} of {count(own.steps ?? 0)}, safe to {count(own.safe_step ?? 0)}
          <meter class="level" min={0} max={Math.max(1, own.steps ?? 1)} value={own.step ?? 0} aria-label={`Steps of ${job.id}`} />
        </dd>
        <dt>Data</dt><dd>{file ? `${file.filename}, ${count(file.bytes)} bytes` : job.training_file}, {count(own.tokens ?? 0)} tokens</dd>
        {!kOver.includes(job.status) && job.estimated_finish && <><dt>Finish expected</dt><dd>{dateTime(job.estimated_finish * 1000)}</dd></>}
        <dt>Priority</dt><dd>{own.priority}, for {own.prefer}</dd>
        {job.fine_tuned_model && <><dt>Model made</dt><dd>{job.fine_tuned_model}</dd></>}
        {own.before && own.after && <><dt>Loss</dt><dd>{own.before.train_loss.toFixed(3)} before, {own.after.train_loss.toFixed(3)} after</dd></>}
      </dl>
      {!kOver.includes(job.status) && (
        <p class="controls">
          {job.status === 'paused' ? <button disabled={busy} onClick={() => turn('resume')}>Resume</button> : <button disabled={busy} onClick={() => turn('pause')}>Pause</button>}
          <button disabled={busy} onClick={() => turn('cancel')}>Cancel</button>
        </p>
      )}
      <p class="bad" role="alert">{refused}</p>
    </Card>
  );
}

export function JobsPage() {
  const jobs = usePolled<{ data: Tune[] }>('/v1/fine_tuning/jobs');
  const files = usePolled<{ data: File[] }>('/v1/files', 5000);
  const transfers = usePolled<Transfer[]>('/qanat/v1/transfers');
  const file = (id: string) => files.value?.data.find((f) => f.id === id);
  const list = [...(jobs.value?.data ?? [])].sort((x, y) => y.created_at - x.created_at);
  return (
    <>
      <Heading>Jobs</Heading>
      <p class="bad" role="alert">{jobs.problem.includes('no such path') ? 'This gateway keeps no files and runs no jobs ([artefacts] in its configuration).' : jobs.problem}</p>
      <div class="columns">
        {list.map((job) => <Job key={job.id} job={job} file={file(job.training_file)} again={jobs.again} />)}
        {jobs.value && list.length === 0 && <Card title="Fine-tunes" class="wide">None yet: <code>qanat job create</code>, or POST /v1/fine_tuning/jobs.</Card>}
        <Card title="Transfers" class="wide">
          <Table label="Transfers" empty="None yet: `qanat send FILE SITE --by TIME`." numbers={[5]}
                 head={['Data', 'To', 'State', 'Moved', 'By', 'CNY']}
                 rows={(transfers.value ?? []).map((t) => [
                   t.dataset, t.site,
                   <span class={t.error ? 'bad' : t.in_time ? 'good' : 'warn'}>{t.state}{t.error ? `: ${t.error}` : t.in_time ? '' : ', late'}</span>,
                   <>{count(t.bytes_moved)} of {count(t.bytes_to_move)} bytes<meter class="level" min={0} max={Math.max(1, t.bytes_to_move)} value={t.bytes_to_move ? t.bytes_moved : 1} aria-label={`Transfer ${t.id}`} /></>,
                   t.by_unix_ms ? dateTime(t.by_unix_ms) : 'off-peak',
                   money(t.price_nano),
                 ])} />
        </Card>
        <Card title="Files" class="wide">
          <Table label="Files" empty="None yet." numbers={[1]} head={['Name', 'Bytes', 'For', 'State', 'Since']}
                 rows={(files.value?.data ?? []).map((f) => [f.filename, count(f.bytes), f.purpose, f.status, dateTime(f.created_at * 1000)])} />
        </Card>
      </div>
    </>
  );
}
