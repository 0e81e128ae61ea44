//! The provisioning manager's own state: settings, join, scan, reset, as esp-idf's `wifi_provisioning` keeps them.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use super::{DeviceConfig, Effect, Failed};
use crate::dialect::espressif::wire::config::{self, JoinState, WifiConfig};
use crate::dialect::espressif::wire::ctrl;
use crate::dialect::espressif::wire::scan::{self, AccessPoint, Progress};
use crate::dialect::espressif::wire::{Outcome, Refusal};

#[derive(Debug)]
pub(super) struct Wifi {
    settings: Option<WifiConfig>,
    phase: Phase,
    /// What a status request is answered with; outlives a reset until the next apply, as in the firmware.
    reported: JoinState,
    connected_answered: bool,
    scan: Option<Vec<AccessPoint>>,
}

/// The manager's states, which only apply, a reset and the end of a join change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Ready,
    Joining,
    Joined,
    Failed,
}

impl Default for Wifi {
    fn default() -> Self {
        Self {
            settings: None,
            phase: Phase::Ready,
            // "Connecting" also before anything was applied: the firmware's own first value.
            reported: JoinState::Connecting { attempts_left: None },
            connected_answered: false,
            scan: None,
        }
    }
}

impl Wifi {
    pub(super) fn scan_finished(&mut self, mut rows: Vec<AccessPoint>, max: usize) {
        // A scan that settings overtook never ends.
        if self.phase != Phase::Ready {
            return;
        }
        rows.sort_by_key(|row| core::cmp::Reverse(row.rssi));
        rows.truncate(max);
        self.scan = Some(rows);
    }

    pub(super) fn join(&mut self, state: JoinState, self_reset: bool) {
        self.phase = match &state {
            JoinState::Connecting { .. } | JoinState::Disconnected => Phase::Joining,
            JoinState::Connected(_) => Phase::Joined,
            JoinState::Failed(_) if self_reset => Phase::Ready,
            JoinState::Failed(_) => Phase::Failed,
        };
        if self.phase == Phase::Ready {
            self.settings = None;
        }
        self.reported = state;
    }

    pub(super) fn configure(
        &mut self,
        request: &[u8],
        effects: &mut VecDeque<Effect>,
    ) -> Result<Vec<u8>, Failed> {
        use config::{Request, Response};
        let response = match Request::decode(request)? {
            Request::WifiStatus => {
                if matches!(self.reported, JoinState::Connected(_)) && !self.connected_answered {
                    self.connected_answered = true;
                    effects.push_back(Effect::ConnectedAnswered);
                }
                Response::WifiStatus(Ok(self.reported.clone()))
            }
            Request::SetWifi(settings) => Response::SetWifi(self.set(settings, effects)),
            Request::ApplyWifi => Response::ApplyWifi(self.apply(effects)),
            Request::ThreadStatus => Response::ThreadStatus(Refusal::InvalidArgument),
            Request::SetThread { .. } => Response::SetThread(Refusal::InvalidArgument),
            Request::ApplyThread => Response::ApplyThread(Refusal::InvalidArgument),
        };
        Ok(response.encode())
    }

    fn set(&mut self, settings: WifiConfig, effects: &mut VecDeque<Effect>) -> Outcome<()> {
        settings.check().map_err(|_| Refusal::InvalidArgument)?;
        effects.push_back(Effect::SettingsWritten(settings.clone()));
        self.settings = Some(settings);
        Ok(())
    }

    fn apply(&mut self, effects: &mut VecDeque<Effect>) -> Outcome<()> {
        let settings = self.settings.clone().ok_or(Refusal::InternalError)?;
        if self.phase != Phase::Ready {
            return Err(Refusal::InternalError);
        }
        self.phase = Phase::Joining;
        self.reported = JoinState::Connecting { attempts_left: None };
        self.connected_answered = false;
        effects.push_back(Effect::Applied(settings));
        Ok(())
    }

    /// Asking for more rows than there are, or than the firmware ever has, is an error of the handler.
    pub(super) fn scan(
        &mut self,
        request: &[u8],
        max: usize,
        effects: &mut VecDeque<Effect>,
    ) -> Result<Vec<u8>, Failed> {
        use scan::{Request, Response};
        let response = match Request::decode(request)? {
            // A blocking scan is answered at once too: nothing here can hold a write open.
            Request::WifiStart { .. } => {
                self.scan = None;
                if self.phase == Phase::Ready {
                    effects.push_back(Effect::ScanRequested);
                }
                Response::WifiStart(Ok(()))
            }
            Request::WifiStatus => {
                let count = self.scan.as_ref().map_or(0, Vec::len);
                Response::WifiStatus(Ok(Progress {
                    finished: self.scan.is_some(),
                    count: count.try_into().map_err(|_| Failed)?,
                }))
            }
            Request::WifiResult { start_index, count } => {
                let (start, count) = (usize::try_from(start_index), usize::try_from(count));
                let (Ok(start), Ok(count)) = (start, count) else {
                    return Err(Failed);
                };
                let end = start.checked_add(count).filter(|end| *end <= max).ok_or(Failed)?;
                let rows = self.scan.as_deref().unwrap_or_default();
                Response::WifiResult(Ok(rows.get(start..end).ok_or(Failed)?.to_vec()))
            }
            Request::ThreadStart => Response::ThreadStart(Refusal::InvalidArgument),
            Request::ThreadStatus => Response::ThreadStatus(Refusal::InvalidArgument),
            Request::ThreadResult => Response::ThreadResult(Refusal::InvalidArgument),
        };
        Ok(response.encode())
    }

    pub(super) fn control(
        &mut self,
        request: &[u8],
        config: &DeviceConfig,
        effects: &mut VecDeque<Effect>,
    ) -> Result<Vec<u8>, Failed> {
        use ctrl::{Request, Response};
        let response = match Request::decode(request)? {
            Request::WifiReset => {
                let resettable = match self.phase {
                    Phase::Failed => true,
                    Phase::Ready => config.reset_when_ready,
                    Phase::Joining | Phase::Joined => false,
                };
                Response::WifiReset(self.reset_if(resettable, effects))
            }
            Request::WifiReprov => {
                // esp-idf asks for no state here, only that the service does not end by itself.
                Response::WifiReprov(self.reset_if(!config.auto_stop, effects))
            }
            Request::ThreadReset => Response::ThreadReset(Err(Refusal::InvalidArgument)),
            Request::ThreadReprov => Response::ThreadReprov(Err(Refusal::InvalidArgument)),
        };
        Ok(response.encode())
    }

    fn reset_if(&mut self, possible: bool, effects: &mut VecDeque<Effect>) -> Outcome<()> {
        if !possible {
            return Err(Refusal::InternalError);
        }
        self.phase = Phase::Ready;
        self.settings = None;
        effects.push_back(Effect::Reset);
        Ok(())
    }
}
