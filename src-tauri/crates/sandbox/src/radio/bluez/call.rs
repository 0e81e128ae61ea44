//! Method calls as they come from the bus, and where each goes.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;
use zbus::message::{Body, Message};
use zbus::wire::{DynamicType, Type};
use zbus::{OwnedVariant, Variant};

use super::daemon::Daemon;
use super::refusal::Refusal;
use super::tree::{ADAPTER, CHARACTERISTIC, DESCRIPTOR, DEVICE, INTROSPECTABLE, OBJECT_MANAGER, PROPERTIES};
use crate::radio::lock;

/// The options of a read or write, by name.
pub(super) type Options = BTreeMap<String, OwnedVariant>;

/// One method call, to be answered once.
pub(super) struct Call {
    message: Message,
    body: Body,
    pub(super) path: String,
    pub(super) interface: String,
    pub(super) member: String,
    /// The caller's unique name.
    pub(super) sender: String,
}

impl Call {
    /// Takes a message that is a method call with all that one needs.
    pub(super) fn new(message: Message) -> Option<Self> {
        let header = message.header();
        let path = header.path()?.to_string();
        let interface = header.interface()?.to_string();
        let member = header.member()?.to_string();
        let sender = header.sender()?.to_string();
        drop(header);
        let body = message.body();
        Some(Self {
            body,
            path,
            interface,
            member,
            sender,
            message,
        })
    }

    /// The arguments.
    ///
    /// # Errors
    /// A refusal where they have other types.
    pub(super) fn arguments<T: DeserializeOwned + Type>(&self) -> Result<T, Refusal> {
        self.body.deserialize().map_err(|_| Refusal::bad_arguments())
    }

    fn unknown(&self) -> Refusal {
        let signature = self.body.signature().to_string_no_parens();
        Refusal::unknown_method(&self.interface, &self.member, &signature)
    }

    fn answer<B: Serialize + DynamicType>(&self, body: &B) -> zbus::Result<Message> {
        Message::method_return(&self.message.header()).build(body)
    }

    fn refuse(&self, refusal: &Refusal) -> zbus::Result<Message> {
        Message::error(&self.message.header(), refusal.name).build(&refusal.text.as_str())
    }
}

impl Daemon {
    /// Answers a call, now or from a task of its own.
    pub(super) fn handle(self: &Arc<Self>, call: Call) {
        tracing::trace!(
            path = call.path,
            interface = call.interface,
            member = call.member,
            "call"
        );
        match (call.interface.as_str(), call.member.as_str()) {
            (INTROSPECTABLE, "Introspect") => {
                let xml = lock(&self.tree)
                    .introspect(&call.path)
                    .ok_or_else(|| call.unknown());
                self.reply(&call, xml);
            }
            ("org.freedesktop.DBus.Peer", "Ping") => self.reply(&call, Ok(())),
            (OBJECT_MANAGER, "GetManagedObjects") if call.path == "/" => {
                let tree = lock(&self.tree);
                let answer = call.answer(&tree.managed());
                Self::send_answer(&tree, answer);
            }
            (PROPERTIES, "Get") => self.get(&call),
            (PROPERTIES, "GetAll") => self.get_all(&call),
            (PROPERTIES, "Set") => {
                let set = self.set(&call);
                self.reply(&call, set);
            }
            (interface @ (ADAPTER | DEVICE | CHARACTERISTIC | DESCRIPTOR), _)
                if lock(&self.tree).interface(&call.path) == Some(interface) =>
            {
                match interface {
                    ADAPTER => self.call_adapter(&call),
                    DEVICE => self.call_device(call),
                    _ => self.call_attribute(call),
                }
            }
            _ => self.reply::<()>(&call, Err(call.unknown())),
        }
    }

    /// Sends the outcome of a call.
    pub(super) fn reply<B: Serialize + DynamicType>(&self, call: &Call, outcome: Result<B, Refusal>) {
        let answer = match outcome {
            Ok(body) => call.answer(&body),
            Err(refusal) => call.refuse(&refusal),
        };
        Self::send_answer(&lock(&self.tree), answer);
    }

    /// Refuses a method that its interface does not have.
    pub(super) fn unknown(&self, call: &Call) {
        self.reply::<()>(call, Err(call.unknown()));
    }

    fn send_answer(tree: &super::tree::Tree, answer: zbus::Result<Message>) {
        match answer {
            Ok(message) => tree.send(message),
            Err(error) => tracing::error!(%error, "a reply could not be written"),
        }
    }

    fn get(&self, call: &Call) {
        let (interface, name): (String, String) = match call.arguments() {
            Ok(arguments) => arguments,
            Err(refusal) => return self.reply::<()>(call, Err(refusal)),
        };
        let tree = lock(&self.tree);
        let answer = match tree.properties(&call.path) {
            None => call.refuse(&call.unknown()),
            Some(_) if tree.interface(&call.path) != Some(interface.as_str()) => {
                call.refuse(&Refusal::unknown_interface(&interface))
            }
            Some(properties) => match properties.get(name.as_str()) {
                Some(value) => call.answer(value),
                None => call.refuse(&Refusal::unknown_property(&name)),
            },
        };
        Self::send_answer(&tree, answer);
    }

    fn get_all(&self, call: &Call) {
        let interface: String = match call.arguments() {
            Ok(interface) => interface,
            Err(refusal) => return self.reply::<()>(call, Err(refusal)),
        };
        let tree = lock(&self.tree);
        let answer = match tree.properties(&call.path) {
            None => call.refuse(&call.unknown()),
            Some(_) if tree.interface(&call.path) != Some(interface.as_str()) => {
                call.refuse(&Refusal::unknown_interface(&interface))
            }
            Some(properties) => call.answer(properties),
        };
        Self::send_answer(&tree, answer);
    }

    fn set(&self, call: &Call) -> Result<(), Refusal> {
        let (interface, name, value): (String, String, OwnedVariant) = call.arguments()?;
        if lock(&self.tree).interface(&call.path) != Some(interface.as_str()) {
            return Err(Refusal::unknown_interface(&interface));
        }
        match (interface.as_str(), name.as_str(), Variant::from(value)) {
            (ADAPTER, "Powered", Variant::Bool(powered)) => self.set_powered(&call.path, powered),
            (ADAPTER, "Powered", _) => Err(Refusal::invalid_arguments("Invalid arguments in method call")),
            _ => Err(Refusal::read_only_property(&name)),
        }
    }
}
