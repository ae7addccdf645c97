// The gateway's answers on files, transfers and fine-tunes (qanat-gateway(8), FILES, TRANSFERS, JOBS), as the page uses them.
import type { Nano } from './gateway';

export interface File {
  id: string;
  filename: string;
  bytes: number;
  purpose: string;
  status: string; // 'processed' once it is complete
  created_at: number;
}

export interface Tune {
  id: string;
  model: string;
  status: 'queued' | 'running' | 'paused' | 'succeeded' | 'failed' | 'cancelled';
  created_at: number;
  estimated_finish: number | null;
  training_file: string;
  fine_tuned_model: string | null;
  error: { code: string; message: string } | null;
  x_qanat: {
    priority: string;
    prefer: string;
    pool: string | null;
    ran_at?: string;
    step: number;
    safe_step: number; // of the last checkpoint that has come home
    steps: number;
    tokens: number;
    moves: number;
    before?: { train_loss: number };
    after?: { train_loss: number };
  };
}

export interface Transfer {
  id: string;
  dataset: string;
  site: string;
  state: 'moving' | 'done' | 'failed' | 'cancelled';
  by_unix_ms: number | null;
  in_time: boolean;
  bytes: number;
  bytes_to_move: number;
  bytes_moved: number;
  price_nano: Nano;
  error: string | null;
}
