import { emit } from '@tauri-apps/api/event';
import { clearMocks, mockIPC } from '@tauri-apps/api/mocks';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { device, view } from '../fixtures/views';
import { bridge } from './bridge';
import type { View } from './contract/View';
import { tauri } from './tauri';

afterEach(() => {
  clearMocks();
  vi.unstubAllGlobals();
});

describe('Tauri', () => {
  it('takes one command down, and brings the first view and every later one up', async () => {
    const calls: unknown[] = [];
    mockIPC(
      (command, payload) => {
        calls.push([command, payload]);
        return command === 'view' ? view() : undefined;
      },
      { shouldMockEvents: true },
    );
    const backend = tauri();
    const shown: View[] = [];
    const stop = backend.onView((next) => shown.push(next));
    await vi.waitFor(() => expect(shown).toHaveLength(1));
    await emit('view', view({ nearby: [device('A')] }));
    expect(shown[1]?.nearby[0]?.name).toBe('A');
    await backend.send({ do: 'listen', on: true });
    expect(calls).toContainEqual(['request', { request: { do: 'listen', on: true } }]);
    stop();
    await emit('view', view());
    expect(shown).toHaveLength(2);
  });
});

describe('a notification', () => {
  it('is given to the system where the person allows it, and to nobody else', async () => {
    for (const allowed of [true, false]) {
      const calls: unknown[] = [];
      mockIPC((command, payload) => {
        if (command === 'plugin:notification|is_permission_granted') return allowed;
        calls.push([command, payload]);
        return undefined;
      });
      await tauri().notify?.('3 devices ended', '2 done, 1 needs you.');
      const told = { options: { title: '3 devices ended', body: '2 done, 1 needs you.' } };
      expect(calls).toEqual(allowed ? [['plugin:notification|notify', told]] : []);
      clearMocks();
    }
  });
});

describe('the bridge', () => {
  it('connects to nothing but this machine', () => {
    for (const address of [
      'ws://example.com:80',
      'ws://127.0.0.1.example.com:80',
      'wss://127.0.0.1:1',
      null,
    ]) {
      expect(() => bridge(address), String(address)).toThrow();
    }
  });

  it('sends requests once it is open, and shows the latest view to who comes late', async () => {
    const sockets: EventTarget[] = [];
    const frames: string[] = [];
    class Socket extends EventTarget {
      constructor() {
        super();
        sockets.push(this);
      }
      send(text: string) {
        frames.push(text);
      }
    }
    vi.stubGlobal('WebSocket', Socket);
    const backend = bridge('ws://127.0.0.1:4000');
    const sent = backend.send({ do: 'examine' });
    expect(frames).toEqual([]);
    sockets[0]?.dispatchEvent(new Event('open'));
    await sent;
    expect(frames).toEqual(['{"do":"examine"}']);
    sockets[0]?.dispatchEvent(new MessageEvent('message', { data: JSON.stringify(view()) }));
    const shown: View[] = [];
    backend.onView((next) => shown.push(next));
    expect(shown).toEqual([view()]);
  });
});
