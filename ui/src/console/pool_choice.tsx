// Of which pool a page speaks: one of those that who is signed in may see.
import type { ComponentChildren } from 'preact';
import { useState } from 'preact/hooks';
import { me } from './admin';

export function PoolChoice({ children }: { children: (pool: string) => ComponentChildren }) {
  const pools = me.value?.pools ?? [];
  const [pool, setPool] = useState(pools[0] ?? '');
  return (
    <>
      {pools.length === 0 && <p class="soft">No pool is known yet.</p>}
      {pools.length > 1 && (
        <div class="controls">
          <label>
            Pool{' '}
            <select value={pool} onChange={(e) => setPool(e.currentTarget.value)}>
              {pools.map((p) => <option key={p} value={p}>{p}</option>)}
            </select>
          </label>
        </div>
      )}
      {pool && children(pool)}
    </>
  );
}
