//! Device shadows (AWS IoT developer guide, "Device Shadow REST API"): the documents, merged and versioned.
//!
//! Kept of one: `desired` and `reported`. Not here: metadata, deltas, topics.

use serde_json::{Map, Value};

use super::{Registry, Shadow};
use crate::cloud::aws::Refusal;

/// A shadow at one moment.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct ShadowRecord {
    pub(crate) version: u64,
    pub(crate) at: i64,
    pub(crate) state: Map<String, Value>,
}

impl Registry {
    pub(crate) fn shadow(&self, thing: &str, name: &str) -> Result<ShadowRecord, Refusal> {
        let state = self.state();
        let key = (thing.to_owned(), name.to_owned());
        let shadow = state.shadows.get(&key).ok_or_else(|| none(thing))?;
        Ok(shadow.record())
    }

    /// Merges `wish` into it and gives the whole. `version` is the one that it must have.
    pub(crate) fn update_shadow(
        &self,
        thing: &str,
        name: &str,
        wish: &Map<String, Value>,
        version: Option<u64>,
    ) -> Result<ShadowRecord, Refusal> {
        let at = self.now();
        let mut state = self.state();
        let key = (thing.to_owned(), name.to_owned());
        let shadow = state.shadows.entry(key).or_insert_with(|| Shadow {
            version: 0,
            at,
            document: Map::new(),
        });
        if version.is_some_and(|version| version != shadow.version) {
            return Err(Refusal::conflict("Version conflict"));
        }
        merge(&mut shadow.document, wish);
        shadow.version += 1;
        shadow.at = at;
        Ok(shadow.record())
    }

    /// Gives what it was.
    pub(crate) fn delete_shadow(&self, thing: &str, name: &str) -> Result<ShadowRecord, Refusal> {
        let key = (thing.to_owned(), name.to_owned());
        let gone = self.state().shadows.remove(&key);
        gone.map(|shadow| shadow.record()).ok_or_else(|| none(thing))
    }

    /// The names of a thing's named shadows.
    pub(crate) fn named_shadows(&self, thing: &str) -> Vec<String> {
        let state = self.state();
        let own = state
            .shadows
            .keys()
            .filter(|(of, name)| of == thing && !name.is_empty());
        own.map(|(_, name)| name.clone()).collect()
    }
}

impl Shadow {
    fn record(&self) -> ShadowRecord {
        ShadowRecord {
            version: self.version,
            at: self.at,
            state: self.document.clone(),
        }
    }
}

/// Objects are merged, `null` takes away, anything else replaces.
fn merge(into: &mut Map<String, Value>, wish: &Map<String, Value>) {
    for (name, value) in wish {
        match (into.get_mut(name), value) {
            (_, Value::Null) => {
                into.remove(name);
            }
            (Some(Value::Object(old)), Value::Object(new)) => merge(old, new),
            (_, value) => {
                into.insert(name.clone(), value.clone());
            }
        }
    }
}

fn none(thing: &str) -> Refusal {
    Refusal::not_found(format!("No shadow exists with name: '{thing}'"))
}
