//! What an adapter hears while it scans actively: each advertisement, and its scan response a little later.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::sleep;

use super::adapter::Adapter;
use super::air::Air;
use super::device::Device;
use super::peripheral::{Address, Advertisement};

/// From an advertisement to its scan response: the exchange itself takes under a millisecond, the rest is the
/// controller and the host.
const SCAN_RESPONSE: Duration = Duration::from_millis(8);

/// Reports that wait for a slow reader; those beyond are lost, as on the air.
const QUEUE: usize = 4096;

/// One packet as heard.
pub struct Report {
    /// Who sent it.
    pub device: Arc<Device>,
    /// The address that it used.
    pub address: Address,
    /// Signal strength in dBm.
    pub rssi: i16,
    /// The content; the name is there in scan responses alone.
    pub advertisement: Advertisement,
    /// Whether it is a scan response.
    pub is_scan_response: bool,
}

/// A scan under way; it ends when this is dropped.
pub struct Scan {
    reports: mpsc::Receiver<Report>,
    _listening: super::adapter::Listening,
    task: AbortHandle,
}

impl Scan {
    /// Starts to listen with an adapter.
    pub fn start(air: &Arc<Air>, adapter: &Adapter) -> Self {
        let (to_scan, reports) = mpsc::channel(QUEUE);
        let task = tokio::spawn(follow(Arc::clone(air), to_scan)).abort_handle();
        Self {
            reports,
            _listening: adapter.start_listening(),
            task,
        }
    }

    /// The next packet.
    pub async fn next(&mut self) -> Option<Report> {
        self.reports.recv().await
    }
}

impl Drop for Scan {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Listens to every device in reach, those that come later included.
async fn follow(air: Arc<Air>, to_scan: mpsc::Sender<Report>) {
    let mut devices = air.watch_devices();
    let mut heard = JoinSet::new();
    let mut tasks: BTreeMap<u64, AbortHandle> = BTreeMap::new();
    loop {
        let present = devices.borrow_and_update().clone();
        tasks.retain(|id, task| {
            let stays = present.iter().any(|d| d.id() == *id);
            if !stays {
                task.abort();
            }
            stays
        });
        for device in present {
            tasks
                .entry(device.id())
                .or_insert_with(|| heard.spawn(hear(device, to_scan.clone())));
        }
        if devices.changed().await.is_err() {
            return;
        }
    }
}

async fn hear(device: Arc<Device>, to_scan: mpsc::Sender<Report>) {
    let mut noise = Noise::new(device.id());
    loop {
        let advertisement = device.advertising().await;
        // Devices are not in step: the first packet comes anywhere in the interval.
        let mut wait = noise.share(advertisement.interval);
        while device.advertisement().as_ref() == Some(&advertisement) {
            sleep(wait).await;
            report(&device, &to_scan, false, &mut noise);
            wait = advertisement.interval;
            if advertisement.name_in_scan_response.is_some() {
                sleep(SCAN_RESPONSE).await;
                report(&device, &to_scan, true, &mut noise);
                wait = wait.saturating_sub(SCAN_RESPONSE);
            }
        }
    }
}

/// Sends what the device advertises at this moment, if anything.
fn report(device: &Arc<Device>, to_scan: &mpsc::Sender<Report>, is_scan_response: bool, noise: &mut Noise) {
    let (Some(mut advertisement), Some(signal)) = (device.advertisement(), device.signal()) else {
        return;
    };
    if !is_scan_response {
        advertisement.name_in_scan_response = None;
    }
    let rssi = signal.saturating_add(noise.decibels());
    let address = device.address();
    let device = Arc::clone(device);
    // A full queue loses packets, as a busy controller does.
    let _ = to_scan.try_send(Report {
        device,
        address,
        rssi,
        advertisement,
        is_scan_response,
    });
}

/// Fading that looks like an office and is the same in every run (xorshift64).
struct Noise(u64);

impl Noise {
    fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// -4 to 4 dB, most often near 0.
    fn decibels(&mut self) -> i16 {
        let (a, b) = (self.next() % 5, self.next() % 5);
        i16::try_from(a + b).unwrap_or(4) - 4
    }

    /// A part of `whole`, from nothing to all of it, in 64 steps.
    fn share(&mut self, whole: Duration) -> Duration {
        whole * u32::try_from(self.next() % 64).unwrap_or(0) / 64
    }
}
