import { svelte } from '@sveltejs/vite-plugin-svelte';
import { svelteTesting } from '@testing-library/svelte/vite';
import { defineConfig } from 'vitest/config';

export default defineConfig({
  plugins: [svelte(), svelteTesting()],
  // Relative addresses work under Tauri's own protocol and under any server of a test.
  base: './',
  build: {
    target: 'es2022',
    // A data: address would need a hole in the window's content security policy.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
  },
  // The address that tauri.conf.json names for development.
  server: { port: 1420, strictPort: true },
  test: {
    environment: 'happy-dom',
    include: ['src/**/*.test.ts'],
    setupFiles: ['src/fixtures/setup.ts'],
  },
});
