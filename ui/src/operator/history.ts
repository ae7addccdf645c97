// The probe matrix of the last minutes, one sample a second: what this page saw since it was opened. The controller keeps
// none; Prometheus does for longer.
import type { Link } from './controller';
import { linkKey } from './topology';

const kStep_ms = 1000;
const kMostCells = 400_000; // samples times links: some 40 MB at the worst

export interface Sample {
  at: number;
  links: Map<string, Link>;
}

export class History {
  readonly samples: Sample[] = [];

  add(at: number, links: Link[]): void {
    const last = this.samples.at(-1);
    if (last && at - last.at < kStep_ms) return;
    this.samples.push({ at, links: new Map(links.map((l) => [linkKey(l), l])) });
    const most = Math.max(10, Math.min(600, Math.floor(kMostCells / Math.max(1, links.length))));
    while (this.samples.length > most) this.samples.shift();
  }

  // The matrix as it was `ago_ms` before the newest sample.
  at(ago_ms: number): Link[] {
    const newest = this.samples.at(-1);
    if (!newest) return [];
    const sample = this.samples.findLast((s) => s.at <= newest.at - ago_ms) ?? this.samples[0];
    return [...sample.links.values()];
  }

  get span_ms(): number {
    return this.samples.length ? this.samples.at(-1)!.at - this.samples[0].at : 0;
  }
}
