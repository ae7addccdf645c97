// Why a call went, or would go, where: every candidate with what filtered it, its prediction and its price.
import { money, perMillion } from '../shell/format';
import { Table } from '../shell/shell';
import type { Candidate, Decision } from './gateway';

const kReasons: Record<string, string> = {
  local: 'The local pool holds the SLA.',
  remote: 'A remote pool is the best that fits.',
};

function verdictOf(candidate: Candidate, place: number) {
  if (candidate.filtered_by) return <span class="soft">left out: {candidate.filtered_by}{candidate.detail && ` (${candidate.detail})`}</span>;
  if (place < 0) return 'fits';
  return <span class="good">{place === 0 ? 'chosen' : `then, ${place + 1}.`}</span>;
}

export function Candidates({ decision }: { decision: Decision }) {
  const rows = [...decision.candidates].sort((x, y) => place(x) - place(y));
  function place(c: Candidate) {
    const at = decision.order.indexOf(c.instance);
    return at < 0 ? Infinity : at;
  }
  return (
    <>
      <Table label="Candidates" empty="No pool offers this."
             head={['Pool', 'Verdict', 'First token, ms', 'Per token, ms', 'Holds SLA', 'Path', 'Path round trip, ms', 'Predicted cost, CNY', 'Score']} numbers={[2, 3, 6, 7, 8]}
             rows={rows.map((c) => [
               <span>{c.pool}{c.local && <span class="soft"> local</span>}{c.stale && <span class="warn"> stale</span>}</span>,
               verdictOf(c, decision.order.indexOf(c.instance)),
               c.predicted ? c.predicted.ttft_ms.toFixed(0) : '–',
               c.predicted ? c.predicted.tpot_ms.toFixed(1) : '–',
               c.filtered_by ? '–' : c.holds_sla ? 'yes' : 'no',
               c.path || (c.local ? 'stays here' : '–'),
               c.path_rtt_ms.toFixed(1),
               money(c.cost_nano),
               money(c.score),
             ])} />
      <p class="soft">{kReasons[decision.reason] ?? `Reason: ${decision.reason}.`} The lowest score wins: predicted cost, and what predicted lateness is worth.</p>
    </>
  );
}

export const priceOf = (c: Candidate) => `${perMillion(c.price.input)} in, ${perMillion(c.price.output)} out`;
