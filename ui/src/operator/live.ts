// What the controller says now, kept fresh: its events tell that something happened, the tables are fetched anew.
import { computed, signal } from '@preact/signals';
import { type Api, ApiError } from '../shell/api';
import { signOut } from '../shell/session';
import type { Link, Node, Path, Status, Tenant } from './controller';
import { History } from './history';
import { planesOf, trackKey, tracksOf } from './topology';

export interface Happening {
  at: number; // Unix, ms
  kind: string;
  fields: Record<string, string>;
}

const kLeastInterval_ms = 400;
const kAfterEvent_ms = 100;
const kCostFactor = 3; // the tables are being fetched a quarter of the time at most, however large they are
const kMostHappenings = 500;

export const status = signal<Status | null>(null);
export const nodes = signal<Node[]>([]);
export const links = signal<Link[]>([]);
export const paths = signal<Path[]>([]);
export const tenants = signal<Tenant[]>([]);
export const happenings = signal<Happening[]>([]);
export const connection = signal<'connecting' | 'live' | 'lost'>('connecting');
export const history = new History();

const seen = new Set<string>(); // tracks that were usable since this page was opened
export const tracks = computed(() => tracksOf(links.value, seen));
export const planes = computed(() => planesOf(nodes.value));

const pause = (ms: number, signal: AbortSignal) =>
  new Promise<void>((done) => {
    const timer = setTimeout(done, ms);
    signal.addEventListener('abort', () => (clearTimeout(timer), done()), { once: true });
  });

async function fetchTables(api: Api): Promise<void> {
  const [s, n, l, p, t] = await Promise.all([
    api.get<Status>('/v1/status'),
    api.get<Node[]>('/v1/nodes'),
    api.get<Link[]>('/v1/matrix'),
    api.get<Path[]>('/v1/paths'),
    api.get<Tenant[]>('/v1/tenants'),
  ]);
  for (const link of l) if (link.state === 'usable') seen.add(trackKey(link));
  history.add(Date.now(), l);
  status.value = s;
  nodes.value = n.sort((a, b) => a.name.localeCompare(b.name));
  links.value = l;
  paths.value = p.sort((a, b) => a.from.localeCompare(b.from) || a.to.localeCompare(b.to) || a.preference - b.preference);
  tenants.value = t;
}

async function listen(api: Api, wake: () => void, signal: AbortSignal): Promise<void> {
  for await (const event of api.events('/v1/events', signal)) {
    connection.value = 'live';
    if (event.name === 'tick') continue;
    const fields = JSON.parse(event.data) as Record<string, string>;
    happenings.value = [{ at: Date.now(), kind: event.name, fields }, ...happenings.value].slice(0, kMostHappenings);
    wake();
  }
}

// Runs until `signal`.
export function follow(api: Api, signal: AbortSignal): void {
  let nap = new AbortController();
  let again = false; // something happened since the tables were asked for
  const wake = () => {
    again = true;
    nap.abort();
  };
  signal.addEventListener('abort', wake, { once: true });
  const refused = (error: unknown) => {
    if (signal.aborted) return;
    if (error instanceof ApiError && error.status === 401) signOut('Signed out: the token is not accepted any more.');
    else connection.value = 'lost';
  };
  const poll = async () => {
    while (!signal.aborted) {
      const begun = performance.now();
      again = false;
      try {
        await fetchTables(api);
      } catch (error) {
        refused(error);
      }
      const interval = Math.max(kLeastInterval_ms, kCostFactor * (performance.now() - begun));
      nap = new AbortController();
      await pause(again ? kAfterEvent_ms : document.hidden ? 5000 : interval, nap.signal);
    }
  };
  const hear = async () => {
    while (!signal.aborted) {
      await listen(api, wake, signal).catch(refused);
      if (!signal.aborted) await pause(1000, signal);
    }
  };
  void poll();
  void hear();
}
