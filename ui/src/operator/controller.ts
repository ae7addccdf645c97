// The controller's answers (docs/specifications/seams.md §3), as this page uses them.

export interface Status {
  name: string;
  role: 'domain' | 'global';
  domain: number;
  epoch: number;
  members: number;
  connected: number;
  links_usable: number;
  policies: number;
  parent?: string;
}

export interface Node {
  node: number;
  name: string;
  domain: number;
  connected: boolean;
  relay: boolean;
  lines: { plane: number; address: string; port: number; name: string }[];
  location: string;
  version_sent: number;
  version_acked: number;
}

export interface Link {
  from: string;
  to: string;
  from_plane: number;
  to_plane: number;
  rtt_us: number;
  loss_ppm: number;
  jitter_us: number;
  state: 'usable' | 'dead' | 'unknown';
  age_ms: number;
}

export type Tier = 'critical' | 'interactive' | 'bulk' | 'scavenger';
export const kTiers: Tier[] = ['critical', 'interactive', 'bulk', 'scavenger'];

export interface Path {
  from: string;
  to: string;
  tier: Tier;
  path: number;
  segments: string[];
  names: string[];
  first_plane: number;
  cost_us: number;
  preference: number;
}

export interface Tenant {
  name: string;
  vni: number;
  from_parent: boolean;
  members: { node: string; addresses: string[]; prefixes: string[]; labels?: string[] }[];
  policy?: string[]; // absent: members reach each other freely
}

export interface Way {
  names: string[]; // relays, then the endpoint
  planes: number[]; // of each hop
  cost_us: number;
  rtt_us: number;
  loss_ppm: number;
  jitter_us: number;
}

export interface WhatIf {
  fail_nodes?: string[];
  fail_links?: { a: string; b: string; plane?: number }[];
  fail_planes?: number[];
  add_links?: { a: string; b: string; plane: number; rtt_ms: number }[];
  planes?: Record<string, { toll_ms: number }>;
}

export interface SlaChange {
  tenant: string;
  tier: Tier;
  from: string;
  to: string;
  term: 'path' | 'latency' | 'loss' | 'jitter';
  limit: number; // µs or parts per million
  before: number | null;
  after: number | null;
}

export interface WhatIfAnswer {
  pairs: number;
  moved: { from: string; to: string; before: Way | null; after: Way | null }[];
  slas_broken: SlaChange[];
  slas_mended: SlaChange[];
  slas_broken_already: SlaChange[];
}
