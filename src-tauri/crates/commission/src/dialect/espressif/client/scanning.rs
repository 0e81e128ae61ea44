//! One scan for networks: start without blocking, look until it is over, fetch the rows.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::cmp::Reverse;
use core::time::Duration;

use crate::dialect::espressif::wire::WireError;
use crate::dialect::espressif::wire::scan::{self, AccessPoint, ROWS_AT_ONCE, Request};
use crate::network::{SeenNetwork, Ssid};
use crate::time::Moment;

/// Most rows that firmware can be built for.
const ROWS_MAX: u32 = 255;

pub(super) struct Scanning {
    deadline: Moment,
    /// Whether an empty result was already doubted: it can be a lost race in the firmware.
    doubted: bool,
    phase: Phase,
    rows: Vec<AccessPoint>,
}

enum Phase {
    Starting,
    Waiting(Moment),
    Looking,
    Fetching { count: u32 },
}

/// What follows.
pub(super) enum Next {
    /// Send this request.
    Ask(Vec<u8>),
    /// Nothing, until [`Scanning::wakes_at`].
    Wait,
    /// The networks, strongest first, one row a name.
    Done(Vec<SeenNetwork>),
    /// The scan takes longer than it may.
    TooLate,
}

impl Scanning {
    pub(super) fn new(deadline: Moment) -> Self {
        Self {
            deadline,
            doubted: false,
            phase: Phase::Starting,
            rows: Vec::new(),
        }
    }

    /// The first request. Never a blocking one: a write that is held open for long dies of ATT's time-out.
    pub(super) fn start(&self) -> Vec<u8> {
        Request::wifi_start(false).encode()
    }

    pub(super) fn handle(&mut self, plain: &[u8], now: Moment, pace: Duration) -> Result<Next, WireError> {
        match self.phase {
            Phase::Starting => {
                scan::wifi_started(plain)?;
                Ok(self.wait(now, pace))
            }
            Phase::Waiting(_) => Ok(Next::Wait),
            Phase::Looking => {
                let progress = scan::wifi_progress(plain)?;
                Ok(match (progress.finished, progress.count.min(ROWS_MAX)) {
                    (false, _) => self.wait(now, pace),
                    (true, 0) if self.doubted || now >= self.deadline => self.done(),
                    (true, 0) => {
                        self.doubted = true;
                        self.phase = Phase::Starting;
                        Next::Ask(self.start())
                    }
                    (true, count) => self.fetch(count),
                })
            }
            Phase::Fetching { count } => {
                let rows = scan::wifi_rows(plain)?;
                let none = rows.is_empty();
                self.rows.extend(rows);
                // A device that gives fewer than it promised has no more.
                Ok(if none { self.done() } else { self.fetch(count) })
            }
        }
    }

    /// When it wants to be woken.
    pub(super) fn wakes_at(&self) -> Option<Moment> {
        match self.phase {
            Phase::Waiting(at) => Some(at),
            Phase::Starting | Phase::Looking | Phase::Fetching { .. } => None,
        }
    }

    /// Looks, if it is time.
    pub(super) fn wake(&mut self, now: Moment) -> Option<Next> {
        match self.phase {
            Phase::Waiting(at) if now >= at => {
                if now >= self.deadline {
                    return Some(Next::TooLate);
                }
                self.phase = Phase::Looking;
                Some(Next::Ask(Request::WifiStatus.encode()))
            }
            _ => None,
        }
    }

    fn wait(&mut self, now: Moment, pace: Duration) -> Next {
        if now >= self.deadline {
            return Next::TooLate;
        }
        self.phase = Phase::Waiting((now + pace).min(self.deadline));
        Next::Wait
    }

    /// Asks for the next rows: few enough to fit, and none beyond the count, which would be an error.
    fn fetch(&mut self, count: u32) -> Next {
        let have = u32::try_from(self.rows.len()).unwrap_or(u32::MAX);
        let rest = count.saturating_sub(have);
        if rest == 0 {
            return self.done();
        }
        self.phase = Phase::Fetching { count };
        let request = Request::WifiResult {
            start_index: have,
            count: rest.min(ROWS_AT_ONCE),
        };
        Next::Ask(request.encode())
    }

    fn done(&mut self) -> Next {
        let mut strongest: BTreeMap<Ssid, SeenNetwork> = BTreeMap::new();
        for row in self.rows.drain(..) {
            // Hidden networks have no name, and cannot be chosen from a list.
            let Ok(ssid) = Ssid::new(row.ssid) else { continue };
            let rssi = i16::try_from(row.rssi).unwrap_or(i16::MIN);
            let seen = SeenNetwork {
                ssid: ssid.clone(),
                rssi,
                channel: row.channel,
                auth: row.auth,
            };
            match strongest.get(&ssid) {
                Some(other) if other.rssi >= rssi => {}
                _ => {
                    strongest.insert(ssid, seen);
                }
            }
        }
        let mut networks: Vec<_> = strongest.into_values().collect();
        networks.sort_by_key(|network| Reverse(network.rssi));
        Next::Done(networks)
    }
}
