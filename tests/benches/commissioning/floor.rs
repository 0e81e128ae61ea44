//! From what the radio, the devices and the program saw to floors.

use std::collections::BTreeMap;
use std::time::Duration;

use sandbox::device::wifi::WifiTimes;
use sandbox::radio::peripheral::Advertisement;
use sandbox::radio::record::LinkRecord;
use serde_json::Value;
use tokio::time::Instant;

/// From an advertisement to its scan response at the simulated adapter.
const SCAN_RESPONSE: Duration = Duration::from_millis(8);

/// The stages of the report in their order; `found` is everything before, `closing` everything after.
pub(crate) const STAGES: [&str; 9] = [
    "found",
    "linking",
    "proving",
    "identifying",
    "networking",
    "crediting",
    "joining",
    "enrolling",
    "closing",
];

/// When a job entered its stages, in milliseconds since the program started.
#[derive(Clone, Debug, Default)]
pub(crate) struct Stages {
    entered: Vec<(String, u64)>,
    finished: u64,
}

impl Stages {
    /// Takes a line of the program.
    pub(crate) fn take(&mut self, line: &Value) {
        let at = line["atMs"].as_u64().unwrap_or_default();
        match (line["event"].as_str(), line["stage"].as_str()) {
            (Some("stage"), Some(stage)) => self.entered.push((stage.to_owned(), at)),
            (Some("finished"), _) => self.finished = at,
            _ => {}
        }
    }

    fn at(&self, at: u64) -> &'static str {
        let current = self.entered.iter().rev().find(|(_, entered)| *entered <= at);
        current.map_or("found", |(stage, _)| named(stage))
    }
}

/// The enrolment is one stage here: whether a proof counts to it or to its verification is a matter of our own.
fn named(stage: &str) -> &'static str {
    match stage {
        "verifying" | "released" => "enrolling",
        other => STAGES.into_iter().find(|name| *name == other).unwrap_or("found"),
    }
}

/// What is known of one device.
pub(crate) struct Device {
    /// Its job's stages.
    pub(crate) stages: Stages,
    /// Its links.
    pub(crate) links: Vec<LinkRecord>,
    /// Its own delays.
    pub(crate) times: WifiTimes,
    /// When its scans for networks began and ended.
    pub(crate) scans: Vec<(Instant, Instant)>,
    /// When it was told to apply the settings.
    pub(crate) applied: Instant,
    /// When it had an address.
    pub(crate) joined: Instant,
    /// When it had sent its first data under its permanent identity.
    pub(crate) online: Instant,
}

/// The parts of a floor.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Floor {
    /// Until it was heard.
    pub(crate) found: Duration,
    /// Link and services.
    pub(crate) setup: Duration,
    /// Operations up to Apply.
    pub(crate) operations: Duration,
    /// Scans for networks, which pass beside the operations.
    pub(crate) scan: Duration,
    /// Apply to address.
    pub(crate) join: Duration,
    /// Address to first data.
    pub(crate) enrol: Duration,
}

impl Floor {
    /// All of it.
    pub(crate) fn total(&self) -> Duration {
        self.found + self.link() + self.enrol
    }

    /// While the link is held.
    pub(crate) fn link(&self) -> Duration {
        self.setup + self.operations + self.scan + self.join
    }
}

/// What one device took.
#[derive(Clone, Debug)]
pub(crate) struct Order {
    /// Its floor.
    pub(crate) floor: Floor,
    /// Time and floor by stage.
    pub(crate) stages: BTreeMap<&'static str, (Duration, Duration)>,
    /// GATT operations: up to Apply, and all.
    pub(crate) operations: (usize, usize),
    /// Round trips: up to Apply, and all.
    pub(crate) round_trips: (u32, u32),
    /// Bytes: up to Apply, and all.
    pub(crate) bytes: (usize, usize),
    /// From first operation to Apply on the radio's clock.
    pub(crate) linked: u64,
}

/// What one run of the program took.
pub(crate) struct Measured {
    /// To the last device's end as the program said it.
    pub(crate) finished: Duration,
    /// To the end of the process.
    pub(crate) total: Duration,
    /// The devices, in the order in which they were linked.
    pub(crate) orders: Vec<Order>,
    /// The program's summary.
    pub(crate) outcomes: Vec<Value>,
}

impl Measured {
    pub(crate) fn new(
        begun: Instant,
        finished: Duration,
        total: Duration,
        devices: &[Device],
        outcomes: Vec<Value>,
    ) -> Self {
        let mut orders: Vec<Order> = devices.iter().map(|device| order(begun, total, device)).collect();
        orders.sort_by_key(|order| order.linked);
        Self {
            finished,
            total,
            orders,
            outcomes,
        }
    }

    /// The length of the list schedule on so many links.
    pub(crate) fn schedule(&self, links: usize) -> Duration {
        let mut free = vec![Duration::ZERO; links.max(1)];
        let mut end = Duration::ZERO;
        for order in &self.orders {
            let Some(link) = free.iter_mut().min() else {
                continue;
            };
            *link = (*link).max(order.floor.found) + order.floor.link();
            end = end.max(*link + order.floor.enrol);
        }
        end
    }
}

fn order(begun: Instant, total: Duration, device: &Device) -> Order {
    let mut stages: BTreeMap<&'static str, (Duration, Duration)> = BTreeMap::new();
    let mut floor = Floor {
        found: Advertisement::default().interval / 2 + SCAN_RESPONSE,
        scan: device.times.scan * u32::try_from(device.scans.len()).unwrap_or(u32::MAX),
        join: device.times.apply + device.times.associate + device.times.address,
        enrol: device.online - device.joined,
        ..Floor::default()
    };
    let (mut operations, mut round_trips, mut bytes) = ((0, 0), (0, 0), (0, 0));
    for link in &device.links {
        floor.setup += link.setup;
        for operation in &link.operations {
            operations.1 += 1;
            round_trips.1 += operation.round_trips;
            bytes.1 += operation.bytes;
            if operation.begun > device.applied {
                continue;
            }
            operations.0 += 1;
            round_trips.0 += operation.round_trips;
            bytes.0 += operation.bytes;
            // A look at a scan under way passes beside it.
            let beside =
                |(begun, ended): &(Instant, Instant)| operation.begun > *begun && operation.begun < *ended;
            if device.scans.iter().any(beside) {
                continue;
            }
            let took = operation.latency + operation.device;
            floor.operations += took;
            stages
                .entry(device.stages.at(millis(operation.begun - begun)))
                .or_default()
                .1 += took;
        }
    }
    for (stage, extra) in [
        ("found", floor.found),
        ("linking", floor.setup),
        ("networking", floor.scan),
        ("joining", floor.join),
        ("enrolling", floor.enrol),
    ] {
        stages.entry(stage).or_default().1 += extra;
    }
    let mut last = ("found", 0);
    for (stage, at) in &device.stages.entered {
        stages.entry(last.0).or_default().0 += Duration::from_millis(at.saturating_sub(last.1));
        last = (named(stage), *at);
    }
    let finished = device.stages.finished;
    stages.entry(last.0).or_default().0 += Duration::from_millis(finished.saturating_sub(last.1));
    stages.entry("closing").or_default().0 = total.saturating_sub(Duration::from_millis(finished));
    Order {
        floor,
        stages,
        operations,
        round_trips,
        bytes,
        linked: device.stages.entered.first().map_or(0, |(_, at)| *at),
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
