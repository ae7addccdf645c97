// The gateway's admin answers (docs/specifications/seams.md §5), as the console uses them. Amounts beyond 53 bits are strings.
import { signal } from '@preact/signals';

export type Nano = number | string;

export interface Me {
  name: string;
  role: 'operator' | 'viewer' | 'supplier';
  gateway: string;
  site: string;
  pools: string[];
}
export const me = signal<Me | null>(null);

export interface Engine {
  model: string;
  running: number;
  waiting: number;
  max_num_seqs: number;
  kv_used_tokens: number;
  kv_total_tokens: number;
}

export interface Pool {
  url: string;
  id: string | null; // until it has described itself
  node: string;
  local: boolean;
  fresh: boolean;
  listed: boolean | null;
  breaker: string;
  in_flight: number;
  path: string;
  rtt_ms: number;
  error: string;
  age_ms?: number;
  health?: string;
  card?: { model: string; count: number };
  engines: Engine[];
}

export interface Placeholder {
  id: string;
  pool: string;
  card: string;
  cards_per_engine: number;
  image: string;
  engines: number;
  streams_per_engine: number;
  state: 'asleep' | 'waking' | 'starting' | 'serving' | 'draining';
  awake: number;
  held: number;
  serving: number;
  cold_ms: number;
  nano_per_s: number;
  card_ms: number;
  charged_nano: Nano;
  error: string;
}

export interface Task {
  name: string;
  at_s: number | null;
  lasts_s: number;
  streams_over: number | null;
  engines: number;
}

export interface Valve {
  model: string;
  mode: 'auto' | 'ask' | 'closed';
  state: string;
  demand: number;
  expected: number;
  local_streams: number;
  open_at: number;
  shut_at: number;
  forecast_error: number;
  by_hand: number;
  budget_nano: Nano;
  spent_nano: Nano;
  budget_reached: boolean;
  plans_waiting: number;
  placeholders: Placeholder[];
  tasks: Task[];
}

export interface Plan {
  model: string;
  id: number;
  state: 'waiting' | 'confirmed' | 'refused' | 'expired';
  engines: { placeholder: string; pool: string; engines: number }[];
  nano_per_hour: Nano;
  demand: number;
  expected: number;
  made_unix_ms: number;
  expires_unix_ms: number;
}

export interface Uses {
  lines: { placeholder: string; model: string; pool: string; began_unix_ms: number; ended_unix_ms: number; card_ms: number; charged_nano: Nano }[];
  card_ms: number;
  total_nano: Nano;
}

export interface Dispatch {
  id: string;
  model: string;
  streams: number;
  state: 'bound' | 'starting' | 'serving';
  nano_per_hour: Nano;
  made_unix_ms: number;
  placeholders: { id: string; pool: string; engines: number; streams: number }[];
}

export interface StatementLine {
  call: string;
  model: string;
  started_unix_ms: number;
  tokens_in: number;
  tokens_out: number;
  amount_nano: Nano;
  billed_nano: Nano;
  undelivered_nano: Nano;
  recorded: boolean;
  disputed: boolean;
  agrees: boolean;
}

export interface Statement {
  pool: string;
  currency: string;
  agrees: boolean;
  calls_nano: Nano;
  billed_nano: Nano;
  undelivered_nano: Nano;
  services_nano: Nano;
  revenue_nano: Nano;
  disagreeing: number;
  unrecorded: number;
  disputed: number;
  lines: StatementLine[];
  services: { id: string; kind: string; quantity: number; unit: string; amount_nano: Nano; unix_ms: number }[];
}

export interface Offer {
  version: number;
  price: { input: number; cached: number; output: number; card_nano_s: number; placeholder_nano_s: number }; // nano
  windows: string[];
  open: boolean;
  changes_unix_ms: number | null;
}
