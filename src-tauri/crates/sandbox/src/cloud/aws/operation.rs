//! The calls of AWS IoT's control plane and data plane that are answered here: where each is reached, and on what it needs
//! a permission (AWS IoT API reference; Service Authorization Reference, "AWS IoT").

use axum::http::Method;
use engine::cloud::aws::policy::Account;

/// On what a permission holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Template,
    Thing,
    Certificate,
    Policy,
    Client,
    /// The certificate that a header or the body names.
    Principal,
    Any,
}

macro_rules! operations {
    ($($name:ident: $method:ident $path:literal, $kind:ident, $service:literal;)*) => {
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(super) enum Operation {
            $($name,)*
        }

        impl Operation {
            const ALL: &'static [Self] = &[$(Self::$name,)*];

            fn method(self) -> Method {
                match self { $(Self::$name => Method::$method,)* }
            }

            fn path(self) -> &'static str {
                match self { $(Self::$name => $path,)* }
            }

            pub(super) fn kind(self) -> Kind {
                match self { $(Self::$name => Kind::$kind,)* }
            }

            /// As requests for it are signed.
            pub(super) fn service(self) -> &'static str {
                match self { $(Self::$name => $service,)* }
            }

            pub(super) fn action(self) -> &'static str {
                match self { $(Self::$name => concat!("iot:", stringify!($name)),)* }
            }
        }
    };
}

operations! {
    CreateProvisioningClaim: POST "/provisioning-templates/{}/provisioning-claim", Template, "iot";
    DescribeProvisioningTemplate: GET "/provisioning-templates/{}", Template, "iot";
    UpdateProvisioningTemplate: PATCH "/provisioning-templates/{}", Template, "iot";
    ListProvisioningTemplates: GET "/provisioning-templates", Any, "iot";
    DescribeEndpoint: GET "/endpoint", Any, "iot";
    ListThings: GET "/things", Any, "iot";
    DescribeThing: GET "/things/{}", Thing, "iot";
    CreateThing: POST "/things/{}", Thing, "iot";
    UpdateThing: PATCH "/things/{}", Thing, "iot";
    DeleteThing: DELETE "/things/{}", Thing, "iot";
    ListThingPrincipals: GET "/things/{}/principals", Thing, "iot";
    AttachThingPrincipal: PUT "/things/{}/principals", Principal, "iot";
    DetachThingPrincipal: DELETE "/things/{}/principals", Principal, "iot";
    ListPrincipalThings: GET "/principals/things", Principal, "iot";
    GetThingConnectivityData: POST "/things/{}/connectivity-data", Thing, "iot";
    ListCertificates: GET "/certificates", Any, "iot";
    DescribeCertificate: GET "/certificates/{}", Certificate, "iot";
    UpdateCertificate: PUT "/certificates/{}", Certificate, "iot";
    DeleteCertificate: DELETE "/certificates/{}", Certificate, "iot";
    ListPolicies: GET "/policies", Any, "iot";
    GetPolicy: GET "/policies/{}", Policy, "iot";
    CreatePolicy: POST "/policies/{}", Policy, "iot";
    DeletePolicy: DELETE "/policies/{}", Policy, "iot";
    AttachPolicy: PUT "/target-policies/{}", Principal, "iot";
    DetachPolicy: POST "/target-policies/{}", Principal, "iot";
    ListAttachedPolicies: POST "/attached-policies/{}", Principal, "iot";
    ListTargetsForPolicy: POST "/policy-targets/{}", Policy, "iot";
    StartThingRegistrationTask: POST "/thing-registration-tasks", Any, "iot";
    ListThingRegistrationTasks: GET "/thing-registration-tasks", Any, "iot";
    DescribeThingRegistrationTask: GET "/thing-registration-tasks/{}", Any, "iot";
    ListThingRegistrationTaskReports: GET "/thing-registration-tasks/{}/reports", Any, "iot";
    StopThingRegistrationTask: PUT "/thing-registration-tasks/{}/cancel", Any, "iot";
    GetThingShadow: GET "/things/{}/shadow", Thing, "iotdata";
    UpdateThingShadow: POST "/things/{}/shadow", Thing, "iotdata";
    DeleteThingShadow: DELETE "/things/{}/shadow", Thing, "iotdata";
    ListNamedShadowsForThing: GET "/api/things/shadow/ListNamedShadowsForThing/{}", Thing, "iotdata";
    GetConnection: GET "/connections/{}", Client, "iotdata";
}

impl Operation {
    /// Whether it is about tasks of bulk registration.
    pub(super) fn is_about_tasks(self) -> bool {
        matches!(
            self,
            Self::StartThingRegistrationTask
                | Self::ListThingRegistrationTasks
                | Self::DescribeThingRegistrationTask
                | Self::ListThingRegistrationTaskReports
                | Self::StopThingRegistrationTask
        )
    }

    /// The operation at this place, and the name that the path carries.
    pub(super) fn at(method: &Method, path: &str) -> Option<(Self, String)> {
        Self::ALL
            .iter()
            .filter(|operation| operation.method() == *method)
            .find_map(|operation| Some((*operation, name_in(operation.path(), path)?)))
    }
}

/// What stands for `{}` in a path of this form, decoded; empty where the form has none.
fn name_in(form: &str, path: &str) -> Option<String> {
    let (form, path) = (form.split('/'), path.split('/'));
    if form.clone().count() != path.clone().count() {
        return None;
    }
    let mut name = String::new();
    for (wanted, got) in form.zip(path) {
        match wanted {
            "{}" if !got.is_empty() => name = decoded(got)?,
            same if same == got => {}
            _ => return None,
        }
    }
    Some(name)
}

/// RFC 3986, 2.1. A plus sign is itself in a path.
pub(super) fn decoded(segment: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(segment.len());
    let mut rest = segment.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let digits = [rest.next()?, rest.next()?];
            let digits = std::str::from_utf8(&digits).ok()?;
            bytes.push(u8::from_str_radix(digits, 16).ok()?);
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes).ok()
}

/// The name of a resource of this kind; `principal` is the ARN that the request names besides.
pub(super) fn resource(account: &Account, kind: Kind, name: &str, principal: &str) -> String {
    match kind {
        Kind::Template => account.resource("provisioningtemplate", name),
        Kind::Thing => account.resource("thing", name),
        Kind::Certificate => account.resource("cert", name),
        Kind::Policy => account.resource("policy", name),
        Kind::Client => account.resource("client", name),
        Kind::Principal => principal.to_owned(),
        Kind::Any => "*".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_operation_is_found_at_its_own_place_and_no_other_there() {
        for operation in Operation::ALL {
            let path = operation.path().replace("{}", "a%3Ab+c");
            let (found, name) = Operation::at(&operation.method(), &path).unwrap();
            assert_eq!(found, *operation, "{path}");
            let wanted = if operation.path().contains("{}") {
                "a:b+c"
            } else {
                ""
            };
            assert_eq!(name, wanted, "{path}");
        }
        for odd in ["/", "/things/", "/things/a/b", "/things/a%3"] {
            assert_eq!(Operation::at(&Method::GET, odd), None, "{odd}");
        }
    }
}
