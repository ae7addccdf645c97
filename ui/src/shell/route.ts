// Which page is shown: the address after '#', as parts. "#/link/city/far" is ['link', 'city', 'far'].
import { signal } from '@preact/signals';

const parts = () => location.hash.replace(/^#\/?/, '').split('/').filter(Boolean).map(decodeURIComponent);

export const route = signal(parts());

export const href = (...to: string[]) => '#/' + to.map(encodeURIComponent).join('/');

export function followAddress(): void {
  addEventListener('hashchange', () => {
    route.value = parts();
    // Screen readers and the Tab key go on from the new page's heading.
    requestAnimationFrame(() => document.querySelector<HTMLElement>('main h1')?.focus());
  });
}
