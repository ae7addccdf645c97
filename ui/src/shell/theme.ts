// Light, dark, or as the system has it; kept in this browser.
import { signal } from '@preact/signals';

export type Theme = 'auto' | 'light' | 'dark';
const kKey = 'qanat-theme';
const kOrder: Theme[] = ['auto', 'light', 'dark'];

export const theme = signal<Theme>((localStorage.getItem(kKey) as Theme | null) ?? 'auto');

export function applyTheme(): void {
  if (theme.value === 'auto') delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme.value;
}

export function nextTheme(): void {
  theme.value = kOrder[(kOrder.indexOf(theme.value) + 1) % kOrder.length];
  localStorage.setItem(kKey, theme.value);
  applyTheme();
}
