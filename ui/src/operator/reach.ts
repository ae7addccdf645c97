// Who reaches what inside a tenant, and the rule that decides: the first that fits (identifiers/ids/acl_rule.hh).
import type { Tenant } from './controller';

export interface Flow {
  protocol: string; // "tcp", "udp", "icmp", "icmpv6"
  port: number; // of the destination; tcp and udp only
}

export interface Verdict {
  allowed: boolean;
  rule: string; // as written, or what holds without one
}

const kNumbers: Record<string, number> = { icmp: 1, tcp: 6, udp: 17, icmpv6: 58 };
const kRule = /^(allow|deny)\s+(\S+)\s+->\s+(\S+)(?:\s+([a-z0-9]+)(?:\/(\d+)(?:-(\d+))?)?)?$/;

function fits(rule: string, from: string[], to: string[], flow: Flow): boolean {
  const parts = kRule.exec(rule.trim());
  if (!parts) return false;
  const [, , source, target, protocol, first, last] = parts;
  if (source !== '*' && !from.includes(source)) return false;
  if (target !== '*' && !to.includes(target)) return false;
  if (protocol && (kNumbers[protocol] ?? Number(protocol)) !== kNumbers[flow.protocol]) return false;
  if (!first) return true;
  return flow.port >= Number(first) && flow.port <= Number(last ?? first);
}

export function verdict(tenant: Tenant, from: string, to: string, flow: Flow): Verdict {
  if (!tenant.policy) return { allowed: true, rule: 'no policy: members reach each other freely' };
  const labels = (name: string) => tenant.members.find((m) => m.node === name)?.labels ?? [];
  const rule = tenant.policy.find((r) => fits(r, labels(from), labels(to), flow));
  if (!rule) return { allowed: false, rule: 'no rule allows it: default deny' };
  return { allowed: rule.trim().startsWith('allow'), rule };
}
