import { invoke } from '@tauri-apps/api/core';
import { listen } from '@tauri-apps/api/event';
import type { Backend } from './index';
import type { View } from './contract/View';

export function tauri(): Backend {
  return {
    async notify(title, body) {
      if (await invoke<boolean | null>('plugin:notification|is_permission_granted')) {
        await invoke('plugin:notification|notify', { options: { title, body } });
      }
    },
    send: (request) => invoke('request', { request }),
    onView(show) {
      let fresh = false;
      let open = true;
      // Listening comes first: a view sent between the two calls would be lost the other way round.
      const stop = listen<View>('view', (event) => {
        fresh = true;
        if (open) show(event.payload);
      });
      void stop
        .then(() => invoke<View>('view'))
        .then((view) => {
          if (open && !fresh) show(view);
        });
      return () => {
        open = false;
        void stop.then((unlisten) => unlisten());
      };
    },
  };
}
