//! Wi-Fi as simulated devices see it: access points, scans, and the join that firmware makes of the settings.
//!
//! The join follows what Espressif's provisioning manager shows over the link (esp-idf `wifi_provisioning`): it
//! starts one second after Apply, knows two reasons of its own, and repeats every other failure for ever unless
//! attempts are limited. Not for: what these states look like in bytes.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use commission::network::{Auth, Ssid};
use commission::secret::Passphrase;
use tokio::sync::watch;
use tokio::task::AbortHandle;
use tokio::time::Instant;

use super::pace::Pace;

/// The last channel of the 2.4 GHz band.
const LAST_CHANNEL_2G4: u32 = 14;

/// One access point.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessPoint {
    /// Its network's name.
    pub ssid: Ssid,
    /// Its own address.
    pub bssid: [u8; 6],
    /// What it wants to hear; none for an open network.
    pub passphrase: Option<Passphrase>,
    /// Wi-Fi channel; over 14 is the 5 GHz band, which most devices do not hear.
    pub channel: u32,
    /// Its protection.
    pub auth: Auth,
    /// Signal in dBm at a device that says nothing else.
    pub rssi: i16,
    /// Whether it keeps its name out of scans.
    pub hidden: bool,
    /// How it treats a device that knows the passphrase.
    pub manner: Manner,
    /// Whether there is a way from it to the cloud.
    pub internet: bool,
}

/// How an access point treats a device that knows the passphrase.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Manner {
    /// Lets it in and gives it an address.
    #[default]
    Welcomes,
    /// Lets it in, but nothing hands out addresses.
    NoAddress,
    /// Turns it away for a reason that firmware does not tell apart (an access list, too many stations).
    RefusesOddly,
}

/// All access points of a scenario.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct World {
    /// In no particular order.
    pub points: Vec<AccessPoint>,
}

/// How long the parts of a join take, in device time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WifiTimes {
    /// One scan over all channels.
    pub scan: Duration,
    /// From Apply to the first attempt: fixed at 1 s in esp-idf.
    pub apply: Duration,
    /// From attempt to association with the right passphrase.
    pub associate: Duration,
    /// From association to an address.
    pub address: Duration,
    /// Until an access point's refusal is noticed.
    pub refusal: Duration,
    /// Until a name is known to be absent.
    pub absence: Duration,
}

impl Default for WifiTimes {
    /// Published logs: a scan of 2.0 s (wifi_prov README), about 3.5 s from the first attempt to an address.
    fn default() -> Self {
        Self {
            scan: Duration::from_millis(2000),
            apply: Duration::from_millis(1000),
            associate: Duration::from_millis(900),
            address: Duration::from_millis(1600),
            refusal: Duration::from_millis(2500),
            absence: Duration::from_millis(2400),
        }
    }
}

/// The Wi-Fi side of one firmware build in one place.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StationBuild {
    /// Attempts before it gives up; 0 stands for esp-idf's default, which gives up at once on a wrong passphrase or
    /// an absent network and never on anything else.
    pub attempts: u32,
    /// Whether it hears the 5 GHz band.
    pub five_ghz: bool,
    /// Signal in dBm by network, where it differs from the access point's own; `None` is out of reach.
    pub hears: BTreeMap<Ssid, Option<i16>>,
    /// How long things take.
    pub times: WifiTimes,
    /// The address that it is given.
    pub address: Option<Ipv4Addr>,
}

/// Settings that a device was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WifiSettings {
    /// The network.
    pub ssid: Ssid,
    /// Its passphrase; none for an open network.
    pub passphrase: Option<Passphrase>,
}

/// A network in a scan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heard {
    /// Its name.
    pub ssid: Ssid,
    /// The access point.
    pub bssid: [u8; 6],
    /// Channel.
    pub channel: u32,
    /// Signal at this device in dBm.
    pub rssi: i16,
    /// Protection.
    pub auth: Auth,
}

/// How a join stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Joining {
    /// Nothing was applied.
    Idle,
    /// Under way. Attempts left are known after the first failure, where they are limited.
    Connecting {
        /// Attempts left.
        attempts_left: Option<u32>,
    },
    /// Joined, with an address.
    Connected(Lease),
    /// Given up.
    Failed(Reason),
}

/// What a joined device knows of its network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    /// Its address.
    pub address: Ipv4Addr,
    /// The access point.
    pub point: Heard,
    /// Whether there is a way to the cloud.
    pub internet: bool,
}

/// The two reasons that firmware tells apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// Wrong passphrase; with limited attempts also every reason that firmware has no word for.
    Auth,
    /// No such network.
    NotFound,
}

/// A device's Wi-Fi.
#[derive(Debug)]
pub struct Station {
    world: Arc<World>,
    build: StationBuild,
    pace: Pace,
    state: watch::Sender<Joining>,
    join: Mutex<Option<AbortHandle>>,
    scans: Mutex<Vec<(Instant, Instant)>>,
}

/// How one attempt ended, other than well.
enum Mishap {
    Known(Reason),
    Odd,
}

impl Station {
    /// A station that has joined nothing yet.
    pub fn new(world: Arc<World>, build: StationBuild, pace: Pace) -> Self {
        Self {
            world,
            build,
            pace,
            state: watch::Sender::new(Joining::Idle),
            join: Mutex::new(None),
            scans: Mutex::default(),
        }
    }

    /// How the join stands, now and from now on.
    pub fn state(&self) -> watch::Receiver<Joining> {
        self.state.subscribe()
    }

    /// Scans: one row for each access point that shows its name, strongest first.
    pub async fn scan(&self) -> Vec<Heard> {
        let begun = Instant::now();
        self.pace.sleep(self.build.times.scan).await;
        let mut scans = self.scans.lock().unwrap_or_else(PoisonError::into_inner);
        scans.push((begun, Instant::now()));
        self.heard()
    }

    /// When each scan that came to its end began and ended, for the floor that a benchmark measures against.
    pub fn scans(&self) -> Vec<(Instant, Instant)> {
        self.scans.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What a scan would find, at once.
    pub fn heard(&self) -> Vec<Heard> {
        let mut heard: Vec<_> = self
            .world
            .points
            .iter()
            .filter(|point| !point.hidden)
            .filter_map(|point| self.hear(point))
            .collect();
        heard.sort_by_key(|heard| std::cmp::Reverse(heard.rssi));
        heard
    }

    /// Begins to join, after the pause that firmware makes; replaces a join under way.
    pub fn join(self: &Arc<Self>, settings: WifiSettings) {
        self.stop();
        self.state
            .send_replace(Joining::Connecting { attempts_left: None });
        let station = Arc::clone(self);
        let task = tokio::spawn(async move { station.run(&settings).await });
        *self.join.lock().unwrap_or_else(PoisonError::into_inner) = Some(task.abort_handle());
    }

    /// Leaves the network and forgets the outcome of the last join.
    pub fn leave(&self) {
        self.stop();
        self.state.send_replace(Joining::Idle);
    }

    fn stop(&self) {
        if let Some(task) = self.join.lock().unwrap_or_else(PoisonError::into_inner).take() {
            task.abort();
        }
    }

    fn hear(&self, point: &AccessPoint) -> Option<Heard> {
        if point.channel > LAST_CHANNEL_2G4 && !self.build.five_ghz {
            return None;
        }
        let rssi = self
            .build
            .hears
            .get(&point.ssid)
            .copied()
            .unwrap_or(Some(point.rssi))?;
        Some(Heard {
            ssid: point.ssid.clone(),
            bssid: point.bssid,
            channel: point.channel,
            rssi,
            auth: point.auth,
        })
    }

    async fn run(&self, settings: &WifiSettings) {
        self.pace.sleep(self.build.times.apply).await;
        let mut failures = 0_u32;
        loop {
            let mishap = match self.attempt(settings).await {
                Ok(lease) => {
                    self.state.send_replace(Joining::Connected(lease));
                    return;
                }
                Err(mishap) => mishap,
            };
            failures = failures.saturating_add(1);
            let left = self.build.attempts.saturating_sub(failures);
            let next = match (self.build.attempts, mishap) {
                (0, Mishap::Known(reason)) => Joining::Failed(reason),
                (0, Mishap::Odd) => Joining::Connecting { attempts_left: None },
                _ if left > 0 => Joining::Connecting {
                    attempts_left: Some(left),
                },
                (_, Mishap::Known(reason)) => Joining::Failed(reason),
                // The manager's reason is never set for these, and its first value is "wrong passphrase".
                (_, Mishap::Odd) => Joining::Failed(Reason::Auth),
            };
            let over = matches!(next, Joining::Failed(_));
            self.state.send_replace(next);
            if over {
                return;
            }
        }
    }

    /// One attempt. Does not end where nothing hands out addresses, as firmware does not.
    async fn attempt(&self, settings: &WifiSettings) -> Result<Lease, Mishap> {
        let times = &self.build.times;
        let strongest = self
            .world
            .points
            .iter()
            .filter(|point| point.ssid == settings.ssid)
            .filter_map(|point| self.hear(point).map(|heard| (point, heard)))
            .max_by_key(|(_, heard)| heard.rssi);
        let Some((point, heard)) = strongest else {
            self.pace.sleep(times.absence).await;
            return Err(Mishap::Known(Reason::NotFound));
        };
        if point.passphrase.is_some() && point.passphrase != settings.passphrase {
            self.pace.sleep(times.refusal).await;
            return Err(Mishap::Known(Reason::Auth));
        }
        if point.manner == Manner::RefusesOddly || point.auth == Auth::Wpa2Enterprise {
            self.pace.sleep(times.refusal).await;
            return Err(Mishap::Odd);
        }
        self.pace.sleep(times.associate).await;
        if point.manner == Manner::NoAddress {
            std::future::pending::<()>().await;
        }
        self.pace.sleep(times.address).await;
        Ok(Lease {
            address: self.build.address.unwrap_or(Ipv4Addr::new(192, 168, 4, 2)),
            point: heard,
            internet: point.internet,
        })
    }
}

impl Drop for Station {
    fn drop(&mut self) {
        self.stop();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn point(name: &str, passphrase: Option<&str>) -> AccessPoint {
        AccessPoint {
            ssid: Ssid::new(name).unwrap(),
            bssid: [2, 0, 0, 0, 0, 1],
            passphrase: passphrase.map(Passphrase::new),
            channel: 6,
            auth: Auth::Wpa2Psk,
            rssi: -50,
            hidden: false,
            manner: Manner::Welcomes,
            internet: true,
        }
    }

    fn station(points: Vec<AccessPoint>, attempts: u32) -> Arc<Station> {
        let build = StationBuild {
            attempts,
            ..StationBuild::default()
        };
        Arc::new(Station::new(Arc::new(World { points }), build, Pace::default()))
    }

    fn settings(name: &str, passphrase: &str) -> WifiSettings {
        WifiSettings {
            ssid: Ssid::new(name).unwrap(),
            passphrase: Some(Passphrase::new(passphrase)),
        }
    }

    async fn end(station: &Station) -> Joining {
        let mut state = station.state();
        state
            .wait_for(|s| matches!(s, Joining::Connected(_) | Joining::Failed(_)))
            .await
            .unwrap()
            .clone()
    }

    #[tokio::test(start_paused = true)]
    async fn the_right_passphrase_gives_an_address_after_the_pause_of_the_firmware() {
        let station = station(vec![point("plant", Some("goodpass"))], 0);
        let begun = Instant::now();
        station.join(settings("plant", "goodpass"));
        assert_eq!(
            *station.state().borrow(),
            Joining::Connecting { attempts_left: None }
        );
        assert!(matches!(end(&station).await, Joining::Connected(_)));
        assert_eq!(begun.elapsed(), Duration::from_millis(3500));
    }

    #[tokio::test(start_paused = true)]
    async fn a_wrong_passphrase_fails_at_once_where_attempts_are_not_limited() {
        let station = station(vec![point("plant", Some("goodpass"))], 0);
        station.join(settings("plant", "wrongpass"));
        assert_eq!(end(&station).await, Joining::Failed(Reason::Auth));
    }

    #[tokio::test(start_paused = true)]
    async fn limited_attempts_are_counted_down_before_the_failure() {
        let station = station(vec![point("plant", Some("goodpass"))], 3);
        station.join(settings("plant", "wrongpass"));
        let mut state = station.state();
        for left in [2, 1] {
            state
                .wait_for(|s| {
                    *s == Joining::Connecting {
                        attempts_left: Some(left),
                    }
                })
                .await
                .unwrap();
        }
        assert_eq!(end(&station).await, Joining::Failed(Reason::Auth));
    }

    #[tokio::test(start_paused = true)]
    async fn a_network_that_is_absent_or_only_at_5_ghz_is_not_found() {
        let mut far = point("five", Some("goodpass"));
        far.channel = 36;
        let station = station(vec![far], 0);
        for name in ["five", "nowhere"] {
            station.join(settings(name, "goodpass"));
            assert_eq!(end(&station).await, Joining::Failed(Reason::NotFound));
        }
        assert_eq!(station.heard(), Vec::new());
    }

    #[tokio::test(start_paused = true)]
    async fn an_odd_refusal_is_repeated_for_ever_or_taken_for_a_wrong_passphrase() {
        let mut odd = point("odd", Some("goodpass"));
        odd.manner = Manner::RefusesOddly;
        let for_ever = station(vec![odd.clone()], 0);
        for_ever.join(settings("odd", "goodpass"));
        let later = tokio::time::timeout(Duration::from_secs(600), end(&for_ever)).await;
        assert!(later.is_err(), "a join that firmware repeats for ever ended");

        let limited = station(vec![odd], 2);
        limited.join(settings("odd", "goodpass"));
        assert_eq!(end(&limited).await, Joining::Failed(Reason::Auth));
    }

    #[tokio::test(start_paused = true)]
    async fn without_an_address_it_stays_connecting() {
        let mut dry = point("dry", Some("goodpass"));
        dry.manner = Manner::NoAddress;
        let station = station(vec![dry], 3);
        station.join(settings("dry", "goodpass"));
        assert!(
            tokio::time::timeout(Duration::from_secs(600), end(&station))
                .await
                .is_err()
        );
        assert_eq!(
            *station.state().borrow(),
            Joining::Connecting { attempts_left: None }
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_hidden_network_is_joined_but_not_seen() {
        let mut hidden = point("hidden", None);
        hidden.hidden = true;
        let station = station(vec![hidden, point("seen", None)], 0);
        let names: Vec<_> = station
            .scan()
            .await
            .into_iter()
            .map(|heard| heard.ssid.to_string())
            .collect();
        assert_eq!(names, ["seen"]);
        station.join(WifiSettings {
            ssid: Ssid::new("hidden").unwrap(),
            passphrase: None,
        });
        assert!(matches!(end(&station).await, Joining::Connected(_)));
    }
}
