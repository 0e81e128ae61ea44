// Node 20 runs no TypeScript; Vite, which is here anyway, does.
import { runnerImport } from 'vite';

const { module } = await runnerImport('./bench/frames.ts', {
  configFile: false,
  root: import.meta.dirname + '/..',
});
console.log(JSON.stringify(await module.measure()));
