//! The objects that the simulated bluetoothd shows on the bus, as data.
//!
//! Every change goes through here and queues its signal in the same step, so that signals and replies leave in the
//! order in which things happened.

use std::collections::BTreeMap;

use tokio::sync::mpsc;
use zbus::message::Message;
use zbus::{ObjectPath, Variant};

/// `org.freedesktop.DBus.Properties`.
pub(super) const PROPERTIES: &str = "org.freedesktop.DBus.Properties";
/// `org.freedesktop.DBus.ObjectManager`.
pub(super) const OBJECT_MANAGER: &str = "org.freedesktop.DBus.ObjectManager";
/// `org.freedesktop.DBus.Introspectable`.
pub(super) const INTROSPECTABLE: &str = "org.freedesktop.DBus.Introspectable";
/// `org.bluez.Adapter1`.
pub(super) const ADAPTER: &str = "org.bluez.Adapter1";
/// `org.bluez.Device1`.
pub(super) const DEVICE: &str = "org.bluez.Device1";
/// `org.bluez.GattService1`.
pub(super) const SERVICE: &str = "org.bluez.GattService1";
/// `org.bluez.GattCharacteristic1`.
pub(super) const CHARACTERISTIC: &str = "org.bluez.GattCharacteristic1";
/// `org.bluez.GattDescriptor1`.
pub(super) const DESCRIPTOR: &str = "org.bluez.GattDescriptor1";

/// Properties of one object by name. Each object here has one interface.
pub(super) type Properties = BTreeMap<&'static str, Variant<'static>>;

struct Object {
    interface: &'static str,
    properties: Properties,
}

/// What `GetManagedObjects` answers: properties by interface by path.
pub(super) type Managed<'a> =
    BTreeMap<ObjectPath<'a>, BTreeMap<&'static str, BTreeMap<&'static str, &'a Variant<'static>>>>;

/// All objects by path; in path order, so in handle order for attributes.
pub(super) struct Tree {
    objects: BTreeMap<String, Object>,
    outgoing: mpsc::UnboundedSender<Message>,
}

impl Tree {
    /// An empty tree whose signals go to `outgoing`.
    pub(super) fn new(outgoing: mpsc::UnboundedSender<Message>) -> Self {
        Self {
            objects: BTreeMap::new(),
            outgoing,
        }
    }

    /// Adds an object, unless there is one at `path`.
    pub(super) fn add(&mut self, path: &str, interface: &'static str, properties: Properties) {
        if self.objects.contains_key(path) {
            return;
        }
        let Some(object) = object_path(path) else { return };
        self.signal(
            "/",
            OBJECT_MANAGER,
            "InterfacesAdded",
            &(object, BTreeMap::from([(interface, &properties)])),
        );
        self.objects.insert(
            path.to_owned(),
            Object {
                interface,
                properties,
            },
        );
    }

    /// Removes the object at `path` and all below it, leaves first.
    pub(super) fn remove(&mut self, path: &str) {
        self.remove_below(path);
        if let Some(object) = self.objects.remove(path) {
            self.removed(path, object.interface);
        }
    }

    /// Removes all objects below `path`, leaves first.
    pub(super) fn remove_below(&mut self, path: &str) {
        let below: Vec<_> = self.below(path).map(|(p, o)| (p.clone(), o.interface)).collect();
        for (path, interface) in below.into_iter().rev() {
            self.objects.remove(&path);
            self.removed(&path, interface);
        }
    }

    /// Sets properties and says so, although some may have had that value before.
    pub(super) fn change<const N: usize>(
        &mut self,
        path: &str,
        changed: [(&'static str, Variant<'static>); N],
    ) {
        self.update(path, changed.into_iter().collect(), &[]);
    }

    /// Sets properties, takes others away, and says so.
    pub(super) fn update(&mut self, path: &str, changed: Properties, invalidated: &[&'static str]) {
        let Some(object) = self.objects.get_mut(path) else {
            return;
        };
        let gone: Vec<_> = invalidated
            .iter()
            .copied()
            .filter(|name| object.properties.remove(name).is_some())
            .collect();
        let interface = object.interface;
        if changed.is_empty() && gone.is_empty() {
            return;
        }
        self.signal(
            path,
            PROPERTIES,
            "PropertiesChanged",
            &(interface, &changed, gone),
        );
        if let Some(object) = self.objects.get_mut(path) {
            object.properties.extend(changed);
        }
    }

    /// The interface of the object at `path`.
    pub(super) fn interface(&self, path: &str) -> Option<&'static str> {
        self.objects.get(path).map(|o| o.interface)
    }

    /// The properties of the object at `path`.
    pub(super) fn properties(&self, path: &str) -> Option<&Properties> {
        self.objects.get(path).map(|o| &o.properties)
    }

    /// Everything, as `GetManagedObjects` answers it.
    pub(super) fn managed(&self) -> Managed<'_> {
        let mut managed = Managed::new();
        for (path, object) in &self.objects {
            let properties = object
                .properties
                .iter()
                .map(|(name, value)| (*name, value))
                .collect();
            if let Some(path) = object_path(path) {
                managed.insert(path, BTreeMap::from([(object.interface, properties)]));
            }
        }
        managed
    }

    /// The description of the node at `path`: its interface and the names of its children. A node without an
    /// object is there where something is below it.
    pub(super) fn introspect(&self, path: &str) -> Option<String> {
        let prefix = if path == "/" {
            String::new()
        } else {
            path.to_owned()
        };
        let mut children: Vec<&str> = Vec::new();
        for (below, _) in self.below(path) {
            let child = below.get(prefix.len() + 1..)?.split('/').next()?;
            if children.last() != Some(&child) {
                children.push(child);
            }
        }
        let interface = self.interface(path);
        if interface.is_none() && children.is_empty() && path != "/" {
            return None;
        }
        let own = match interface {
            None if path == "/" => MANAGER_XML,
            None => "",
            Some(ADAPTER) => ADAPTER_XML,
            Some(DEVICE) => DEVICE_XML,
            Some(SERVICE) => SERVICE_XML,
            Some(CHARACTERISTIC) => CHARACTERISTIC_XML,
            Some(_) => DESCRIPTOR_XML,
        };
        let nodes: String = children
            .iter()
            .map(|child| format!("  <node name=\"{child}\"/>\n"))
            .collect();
        Some(format!("{HEAD_XML}<node>\n{COMMON_XML}{own}{nodes}</node>\n"))
    }

    /// Queues a message that is no signal, in order with the signals.
    pub(super) fn send(&self, message: Message) {
        // The queue is closed only once the service is over, and nobody waits for its words any more.
        let _ = self.outgoing.send(message);
    }

    /// Objects strictly below `path`.
    fn below(&self, path: &str) -> impl Iterator<Item = (&String, &Object)> {
        let prefix = if path == "/" {
            "/".to_owned()
        } else {
            format!("{path}/")
        };
        let end = prefix.clone();
        self.objects
            .range(prefix..)
            .take_while(move |(p, _)| p.starts_with(&end))
    }

    fn removed(&self, path: &str, interface: &'static str) {
        if let Some(object) = object_path(path) {
            self.signal(
                "/",
                OBJECT_MANAGER,
                "InterfacesRemoved",
                &(object, [interface].as_slice()),
            );
        }
    }

    fn signal<B>(&self, path: &str, interface: &'static str, name: &'static str, body: &B)
    where
        B: serde::Serialize + zbus::wire::DynamicType,
    {
        match Message::signal(path, interface, name).build(body) {
            Ok(message) => self.send(message),
            Err(error) => tracing::error!(%error, path, name, "a signal could not be written"),
        }
    }
}

/// `path` as D-Bus has it; all our paths are made of fit characters.
pub(super) fn object_path(path: &str) -> Option<ObjectPath<'_>> {
    ObjectPath::try_from(path).ok()
}

const HEAD_XML: &str = "<!DOCTYPE node PUBLIC \"-//freedesktop//DTD D-BUS Object Introspection 1.0//EN\" \
                        \"http://www.freedesktop.org/standards/dbus/1.0/introspect.dtd\">\n";

const COMMON_XML: &str = r#"  <interface name="org.freedesktop.DBus.Introspectable">
    <method name="Introspect"><arg name="xml" type="s" direction="out"/></method>
  </interface>
  <interface name="org.freedesktop.DBus.Properties">
    <method name="Get"><arg name="interface" type="s" direction="in"/><arg name="name" type="s" direction="in"/><arg name="value" type="v" direction="out"/></method>
    <method name="Set"><arg name="interface" type="s" direction="in"/><arg name="name" type="s" direction="in"/><arg name="value" type="v" direction="in"/></method>
    <method name="GetAll"><arg name="interface" type="s" direction="in"/><arg name="properties" type="a{sv}" direction="out"/></method>
    <signal name="PropertiesChanged"><arg name="interface" type="s"/><arg name="changed" type="a{sv}"/><arg name="invalidated" type="as"/></signal>
  </interface>
"#;

const MANAGER_XML: &str = r#"  <interface name="org.freedesktop.DBus.ObjectManager">
    <method name="GetManagedObjects"><arg name="objects" type="a{oa{sa{sv}}}" direction="out"/></method>
    <signal name="InterfacesAdded"><arg name="object" type="o"/><arg name="interfaces" type="a{sa{sv}}"/></signal>
    <signal name="InterfacesRemoved"><arg name="object" type="o"/><arg name="interfaces" type="as"/></signal>
  </interface>
"#;

const ADAPTER_XML: &str = r#"  <interface name="org.bluez.Adapter1">
    <method name="StartDiscovery"/>
    <method name="StopDiscovery"/>
    <method name="SetDiscoveryFilter"><arg name="properties" type="a{sv}" direction="in"/></method>
    <method name="RemoveDevice"><arg name="device" type="o" direction="in"/></method>
    <property name="Address" type="s" access="read"/>
    <property name="AddressType" type="s" access="read"/>
    <property name="Name" type="s" access="read"/>
    <property name="Alias" type="s" access="read"/>
    <property name="Modalias" type="s" access="read"/>
    <property name="Powered" type="b" access="readwrite"/>
    <property name="Discovering" type="b" access="read"/>
  </interface>
"#;

const DEVICE_XML: &str = r#"  <interface name="org.bluez.Device1">
    <method name="Connect"/>
    <method name="Disconnect"/>
    <property name="Address" type="s" access="read"/>
    <property name="AddressType" type="s" access="read"/>
    <property name="Name" type="s" access="read"/>
    <property name="Alias" type="s" access="read"/>
    <property name="Paired" type="b" access="read"/>
    <property name="Bonded" type="b" access="read"/>
    <property name="Trusted" type="b" access="read"/>
    <property name="Blocked" type="b" access="read"/>
    <property name="LegacyPairing" type="b" access="read"/>
    <property name="Connected" type="b" access="read"/>
    <property name="ServicesResolved" type="b" access="read"/>
    <property name="RSSI" type="n" access="read"/>
    <property name="UUIDs" type="as" access="read"/>
    <property name="ManufacturerData" type="a{qv}" access="read"/>
    <property name="ServiceData" type="a{sv}" access="read"/>
    <property name="Adapter" type="o" access="read"/>
  </interface>
"#;

const SERVICE_XML: &str = r#"  <interface name="org.bluez.GattService1">
    <property name="UUID" type="s" access="read"/>
    <property name="Primary" type="b" access="read"/>
    <property name="Device" type="o" access="read"/>
  </interface>
"#;

const CHARACTERISTIC_XML: &str = r#"  <interface name="org.bluez.GattCharacteristic1">
    <method name="ReadValue"><arg name="options" type="a{sv}" direction="in"/><arg name="value" type="ay" direction="out"/></method>
    <method name="WriteValue"><arg name="value" type="ay" direction="in"/><arg name="options" type="a{sv}" direction="in"/></method>
    <method name="StartNotify"/>
    <method name="StopNotify"/>
    <property name="UUID" type="s" access="read"/>
    <property name="Service" type="o" access="read"/>
    <property name="Value" type="ay" access="read"/>
    <property name="Notifying" type="b" access="read"/>
    <property name="Flags" type="as" access="read"/>
    <property name="MTU" type="q" access="read"/>
  </interface>
"#;

const DESCRIPTOR_XML: &str = r#"  <interface name="org.bluez.GattDescriptor1">
    <method name="ReadValue"><arg name="options" type="a{sv}" direction="in"/><arg name="value" type="ay" direction="out"/></method>
    <method name="WriteValue"><arg name="value" type="ay" direction="in"/><arg name="options" type="a{sv}" direction="in"/></method>
    <property name="UUID" type="s" access="read"/>
    <property name="Characteristic" type="o" access="read"/>
    <property name="Value" type="ay" access="read"/>
  </interface>
"#;

#[cfg(test)]
mod tests {
    use super::*;

    fn tree() -> (Tree, mpsc::UnboundedReceiver<Message>) {
        let (outgoing, sent) = mpsc::unbounded_channel();
        (Tree::new(outgoing), sent)
    }

    fn members(sent: &mut mpsc::UnboundedReceiver<Message>) -> Vec<String> {
        std::iter::from_fn(|| sent.try_recv().ok())
            .map(|m| format!("{} {}", m.header().path().unwrap(), m.header().member().unwrap()))
            .collect()
    }

    #[test]
    fn a_node_lists_its_own_children_only() {
        let (mut tree, _sent) = tree();
        for path in [
            "/org/bluez/hci0",
            "/org/bluez/hci0/dev_A",
            "/org/bluez/hci0/dev_A/service0028",
            "/org/bluez/hci00",
        ] {
            tree.add(path, DEVICE, Properties::new());
        }
        let children = |path: &str| -> Vec<String> {
            let xml = tree.introspect(path).unwrap();
            xml.lines()
                .filter_map(|l| l.trim().strip_prefix("<node name=\""))
                .map(|l| l.replace("\"/>", ""))
                .collect()
        };
        assert_eq!(children("/"), ["org"]);
        assert_eq!(children("/org/bluez"), ["hci0", "hci00"]);
        assert_eq!(children("/org/bluez/hci0"), ["dev_A"]);
        assert_eq!(children("/org/bluez/hci00"), [""; 0]);
        assert_eq!(tree.introspect("/org/bluez/hci1"), None);
    }

    #[test]
    fn removal_goes_leaves_first_and_spares_neighbours() {
        let (mut tree, mut sent) = tree();
        for path in ["/a", "/a/b", "/a/b/c", "/ab"] {
            tree.add(path, DEVICE, Properties::new());
        }
        assert_eq!(members(&mut sent), ["/ InterfacesAdded"; 4]);
        tree.remove("/a");
        assert_eq!(members(&mut sent), ["/ InterfacesRemoved"; 3]);
        assert_eq!(
            tree.managed().keys().map(|p| p.to_string()).collect::<Vec<_>>(),
            ["/ab"]
        );
    }

    #[test]
    fn a_change_is_announced_even_when_the_value_is_the_same_and_an_absent_property_is_not() {
        let (mut tree, mut sent) = tree();
        tree.add("/a", DEVICE, Properties::from([("RSSI", Variant::from(-50_i16))]));
        members(&mut sent);
        tree.change("/a", [("RSSI", Variant::from(-50_i16))]);
        tree.update("/a", Properties::new(), &["RSSI"]);
        tree.update("/a", Properties::new(), &["RSSI"]);
        tree.change("/gone", [("RSSI", Variant::from(-50_i16))]);
        assert_eq!(members(&mut sent), ["/a PropertiesChanged"; 2]);
        assert_eq!(tree.properties("/a"), Some(&Properties::new()));
    }
}
