/** The world of a test: a sandbox and the real desk behind a door, as one process that is asked in JSON lines. */
import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { Page } from '@playwright/test';

export const PASSPHRASE = 'blue-kettle-42';

export interface Label {
  name: string;
  serial: string;
  pop: string;
}

interface Ready {
  door: string;
  labels: Label[];
}

export class World {
  private constructor(
    private readonly process: ChildProcessWithoutNullStreams,
    private readonly lines: AsyncIterator<string>,
    private readonly folder: string,
    private door: string,
    readonly labels: Label[],
  ) {}

  /** Starts with the devices and faults of a scenario, profile imported, nobody signed in. */
  static async open(scenario: string): Promise<World> {
    const program = process.env['FIELDKEY_BRIDGE'];
    if (!program) throw new Error('FIELDKEY_BRIDGE names no program; run cargo xtask test --only browser');
    const folder = mkdtempSync(join(tmpdir(), 'fieldkey-e2e-'));
    const file = join(folder, 'scenario.toml');
    writeFileSync(file, scenario);
    const child = spawn(program, [file]);
    child.stderr.pipe(process.stderr);
    const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
    const ready = JSON.parse(await next(lines)) as Ready;
    return new World(child, lines, folder, ready.door, ready.labels);
  }

  /** Sets what goes wrong in the cloud. */
  async faults(toml: string) {
    await this.ask({ do: 'faults', toml });
  }

  /** Ends the program without notice and starts it again; the window has to be opened anew. */
  async restart() {
    const answer = (await this.ask({ do: 'restart' })) as { door: string };
    this.door = answer.door;
  }

  /** What is not as it should be once all devices are done: nothing, if all is well. */
  async shortcomings(): Promise<string[]> {
    return ((await this.ask({ do: 'status' })) as { shortcomings: string[] }).shortcomings;
  }

  async show(page: Page) {
    await page.goto(`/?bridge=${encodeURIComponent(this.door)}`);
  }

  close() {
    this.process.stdin.end();
    rmSync(this.folder, { recursive: true, force: true });
  }

  private async ask(question: unknown): Promise<unknown> {
    this.process.stdin.write(`${JSON.stringify(question)}\n`);
    return JSON.parse(await next(this.lines));
  }
}

async function next(lines: AsyncIterator<string>): Promise<string> {
  const line = await lines.next();
  if (line.done) throw new Error('the world has ended');
  return line.value;
}
