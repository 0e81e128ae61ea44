/** The door of tests: the real engine behind a WebSocket of this machine. Not part of the app that is shipped. */
import type { Backend } from './index';
import type { View } from './contract/View';

const HERE = /^ws:\/\/(127\.0\.0\.1|\[::1\]|localhost):\d+(\/|$)/;

export function bridge(address: string | null): Backend {
  if (!address || !HERE.test(address)) throw new Error('?bridge= must name a WebSocket of this machine');
  const socket = new WebSocket(address);
  const opened = new Promise<void>((resolve, reject) => {
    socket.addEventListener('open', () => resolve(), { once: true });
    socket.addEventListener('error', () => reject(new Error(`no bridge at ${address}`)), { once: true });
  });
  const shows = new Set<(view: View) => void>();
  let latest: View | null = null;
  socket.addEventListener('message', (event: MessageEvent<string>) => {
    latest = JSON.parse(event.data) as View;
    for (const show of shows) show(latest);
  });
  return {
    async send(request) {
      await opened;
      socket.send(JSON.stringify(request));
    },
    onView(show) {
      shows.add(show);
      if (latest) show(latest);
      return () => shows.delete(show);
    },
  };
}
