/** Files that a person drops or chooses: profiles, labels and photos of labels. Nothing of them leaves the machine. */
import type { WindowState } from './state.svelte';

/** A phone's photo is far larger than a QR code needs, and the search grows with its area. */
const PHOTO_EDGE = 1200;

export async function take(file: File, window: WindowState, all: File[] = []): Promise<void> {
  const name = file.name.toLowerCase();
  // It goes with the file that it signs.
  if (name.endsWith('.minisig') && all.length > 1) return;
  if (/\.(csv|json)$/.test(name)) {
    window.readLabels(file.name, await file.text());
  } else if (/\.(toml|profile)$/.test(name)) {
    await importProfile(file, window, all);
  } else if (file.type.startsWith('image/') || /\.(png|jpe?g|webp|gif|bmp)$/.test(name)) {
    await readPhoto(file, window);
  } else {
    window.toast(window.w.labels.fileUnknown(file.name), true);
  }
}

/** What a person chose as a profile: one whatever it is called, unless it plainly is something else. */
export async function takeProfile(file: File, window: WindowState, all: File[] = []): Promise<void> {
  if (/\.(csv|json|png|jpe?g|minisig)$/i.test(file.name)) await take(file, window, all);
  else await importProfile(file, window, all);
}

/** With the signature that was chosen along with it. */
async function importProfile(file: File, window: WindowState, all: File[]): Promise<void> {
  const signature = all.find((other) => other.name === `${file.name}.minisig`);
  const text = await file.text();
  if (signature) window.send({ do: 'import-profile', text, signature: await signature.text() });
  else window.send({ do: 'import-profile', text });
}

async function readPhoto(file: File, window: WindowState): Promise<void> {
  let pixels: ImageData;
  try {
    pixels = await decode(file);
  } catch {
    window.toast(window.w.labels.photoNone, true);
    return;
  }
  const { default: jsQR } = await import('jsqr');
  const code = jsQR(pixels.data, pixels.width, pixels.height);
  if (code?.data) window.readLabel(code.data);
  else window.toast(window.w.labels.photoUnreadable, true);
}

async function decode(file: File): Promise<ImageData> {
  const picture = await createImageBitmap(file);
  const scale = Math.min(1, PHOTO_EDGE / Math.max(picture.width, picture.height));
  const canvas = document.createElement('canvas');
  canvas.width = Math.max(1, Math.round(picture.width * scale));
  canvas.height = Math.max(1, Math.round(picture.height * scale));
  const context = canvas.getContext('2d', { willReadFrequently: true });
  if (!context) throw new Error('no canvas');
  context.drawImage(picture, 0, 0, canvas.width, canvas.height);
  picture.close();
  return context.getImageData(0, 0, canvas.width, canvas.height);
}

/** What was pasted outside any field. */
export function paste(text: string, window: WindowState): void {
  const trimmed = text.trim();
  if (!trimmed) return;
  if (window.view?.signIn.state === 'no-profile') window.send({ do: 'import-profile', text });
  else if (/^\s*\[/.test(trimmed)) window.readLabels('pasted.json', trimmed);
  else if (trimmed.includes('\n') && !trimmed.startsWith('{')) window.readLabels('pasted.csv', trimmed);
  else window.readLabel(trimmed);
}
