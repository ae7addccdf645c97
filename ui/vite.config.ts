import { defineConfig } from 'vite';

// Two pages of one bundle: the controller serves operator.html, the gateway tenant.html; both serve /ui/FILE.
export default defineConfig({
  base: '/ui/',
  server: { host: '127.0.0.1' },
  build: {
    target: 'es2022',
    assetsDir: '',
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    rollupOptions: { input: ['operator.html', 'tenant.html'] },
  },
});
