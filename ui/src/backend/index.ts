/**
 * The only way out of the window: a request goes down, a view comes up.
 *
 * Which door stands behind it is decided here and nowhere else; the rest of the window cannot tell.
 */
import type { Request } from './contract/Request';
import type { View } from './contract/View';

export interface Backend {
  /** Resolves once the request was taken; what comes of it is in a later view. */
  send(request: Request): Promise<void>;
  /** Calls back with the present view and every later one, until the returned function is called. */
  onView(show: (view: View) => void): () => void;
  /** Tells the person outside the window, where there is an outside. */
  notify?(title: string, body: string): Promise<void>;
}

export async function connect(): Promise<Backend> {
  if (import.meta.env.MODE === 'bridge') {
    const { bridge } = await import('./bridge');
    return bridge(new URLSearchParams(location.search).get('bridge'));
  }
  if (import.meta.env.MODE === 'fixture') {
    const { play } = await import('../fixtures/play');
    return play(new URLSearchParams(location.search));
  }
  const { tauri } = await import('./tauri');
  return tauri();
}
