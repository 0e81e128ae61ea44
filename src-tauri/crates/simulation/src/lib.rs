//! The world that the flow is searched in.
//!
//! Whole histories are lived in memory: devices, two organisations with a cloud each, people, two programs over one
//! journal. Whatever can go wrong does, at every place, and every rule of the design is held against what is true in
//! the world, never against what the flow believes. A history is its seed; one that breaks a rule is shortened and
//! told, one line a step.
#![allow(
    clippy::indexing_slicing,
    reason = "devices, clouds and programs go by numbers that the world itself gives out"
)]

mod adapter;
mod fate;
mod history;
mod random;
mod rules;
mod scene;
mod story;
mod world;

pub use fate::{Call, Deed, Entry, Fate, Kind, Mishap, Place, Theme, Trouble};
pub use history::{History, Lived, search, shorten};
pub use random::Random;
pub use rules::{Broken, RULES, Rule, Rules};
pub use scene::{CloudSpec, DeviceSpec, Given, Order, Scene, Tells, Turn, What, When};
pub use story::Story;
pub use world::{Tally, World};
