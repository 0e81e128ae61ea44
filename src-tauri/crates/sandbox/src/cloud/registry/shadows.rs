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
        // Before anything is made: a wish that is refused leaves no shadow behind.
        let own = state.shadows.get(&key).map_or(0, |shadow| shadow.version);
        if version.is_some_and(|version| version != own) {
            return Err(Refusal::conflict("Version conflict"));
        }
        let shadow = state.shadows.entry(key).or_insert_with(|| Shadow {
            version: 0,
            at,
            document: Map::new(),
        });
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

/// Objects are merged, `null` takes away, anything else replaces. No `null` is ever kept, however deep it stands.
fn merge(into: &mut Map<String, Value>, wish: &Map<String, Value>) {
    for (name, value) in wish {
        match (into.get_mut(name), value) {
            (_, Value::Null) => {
                into.remove(name);
            }
            (Some(Value::Object(old)), Value::Object(new)) => merge(old, new),
            (_, Value::Object(new)) => {
                let mut own = Map::new();
                merge(&mut own, new);
                into.insert(name.clone(), own.into());
            }
            (_, value) => {
                into.insert(name.clone(), value.clone());
            }
        }
    }
}

fn none(thing: &str) -> Refusal {
    Refusal::not_found(format!("No shadow exists with name: '{thing}'"))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::json;

    use super::*;
    use crate::cloud::CloudConfig;
    use crate::cloud::clock::CloudClock;
    use crate::cloud::faults::Faults;

    fn registry() -> Registry {
        let faults = Faults::default();
        let clock = CloudClock::new(faults.clone());
        Registry::new(&CloudConfig::default(), BTreeMap::new(), clock, faults)
    }

    fn wish(value: Value) -> Map<String, Value> {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn a_wish_of_another_version_is_refused_and_leaves_no_shadow_behind() {
        let registry = registry();
        let state = wish(json!({"desired": {"on": true}}));
        let refused = registry.update_shadow("FK-1", "", &state, Some(7)).unwrap_err();
        assert_eq!(refused.code, "ConflictException");
        assert_eq!(
            registry.shadow("FK-1", "").unwrap_err().code,
            "ResourceNotFoundException"
        );
        let made = registry.update_shadow("FK-1", "", &state, None).unwrap();
        assert_eq!(made.version, 1);
        assert_eq!(
            registry
                .update_shadow("FK-1", "", &state, Some(1))
                .unwrap()
                .version,
            2
        );
    }

    #[test]
    fn a_null_takes_away_however_deep_it_stands_and_is_never_kept() {
        let registry = registry();
        let update = |value: Value| {
            registry
                .update_shadow("FK-1", "", &wish(value), None)
                .unwrap()
                .state
        };
        let first = update(json!({"desired": {"light": {"on": true, "hue": null}, "gone": null}}));
        assert_eq!(first, wish(json!({"desired": {"light": {"on": true}}})));
        let second = update(json!({"desired": {"light": {"on": null, "hue": 7}}}));
        assert_eq!(second, wish(json!({"desired": {"light": {"hue": 7}}})));
        let third = update(json!({"desired": {"light": 1}}));
        let fourth = update(json!({"desired": {"light": {"deep": {"a": null, "b": 1}}}}));
        assert_eq!(third, wish(json!({"desired": {"light": 1}})));
        assert_eq!(fourth, wish(json!({"desired": {"light": {"deep": {"b": 1}}}})));
        assert_eq!(update(json!({"desired": null})), Map::new());
    }
}
