// The gateway's answers (docs/specifications/seams.md §5), as this page uses them. Amounts beyond 53 bits are strings.
export type Nano = number | string;

export interface Model {
  id: string;
  max_context: number;
  pools: string[];
}

export interface Candidate {
  instance: string;
  pool: string;
  model: string;
  local: boolean;
  stale: boolean;
  filtered_by: string | null;
  detail: string;
  price: { input: number; output: number };
  path: string;
  path_rtt_ms: number;
  predicted: { ttft_ms: number; tpot_ms: number; wait_ms: number } | null;
  score: Nano | null;
  cost_nano: Nano | null;
  holds_sla: boolean;
}

export interface Decision {
  request: string;
  reason: string;
  candidates: Candidate[];
  order: string[];
  tier?: string;
  sla?: { ttft_ms: number; tpot_ms: number };
  demand?: { prompt_tokens: number; output_tokens: number };
  tries?: { pool: string; result: string }[];
}

export interface Call {
  call: string;
  model?: string; // absent while it runs, with all that follows
  pool?: string;
  path?: string;
  local?: boolean;
  project?: string;
  key?: string;
  price?: string;
  tokens_in?: number;
  tokens_out?: number;
  amount_nano?: Nano;
  outcome?: string;
  usage_source?: string;
  started_unix_ms?: number;
  ended_unix_ms?: number;
  tries?: number;
  reconciled?: boolean;
  decision: Decision | null;
}

export interface BillLine {
  call: string;
  started_unix_ms: number;
  project: string;
  key: string;
  model: string;
  pool: string;
  local: boolean;
  price: string;
  tokens_in: number;
  tokens_out: number;
  amount_nano: Nano;
  outcome: string;
  usage_source: string;
}

export interface Bill {
  tenant: string;
  currency: string;
  lines: BillLine[];
  total_nano: Nano;
  tokens_in: number;
  tokens_out: number;
}

export interface Balance {
  limit_nano: Nano | null;
  spent_nano: Nano;
  held_nano: Nano;
}

export interface Usage {
  tenant: string;
  project: string;
  key: string;
  max_calls: number;
  calls_in_flight: number;
  budgets: { key: Balance; project: Balance; tenant: Balance };
}

export const resolvePath = (c_url: string) => `/qanat/v1/resolve?c_url=${encodeURIComponent(c_url)}`;
