//! Every call that Fieldkey makes to AWS, with the permission that it needs: one table, from which requests are named,
//! the printed policies are made and `AWS.md` is written.
//!
//! Not here: what a call sends and gets. That is in the file of its subject.

/// A service, as requests to it are signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Service {
    /// The control plane of AWS IoT.
    Iot,
    /// Its data plane.
    IotData,
    /// Cognito's identity pools; asked without a signature.
    CognitoIdentity,
    /// The security token service; asked without a signature.
    Sts,
}

impl Service {
    /// The name in a signature's scope.
    pub fn signing_name(self) -> &'static str {
        match self {
            Self::Iot => "iot",
            Self::IotData => "iotdata",
            Self::CognitoIdentity => "cognito-identity",
            Self::Sts => "sts",
        }
    }
}

/// On what a permission holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// The one provisioning template.
    Template,
    /// Things, as the profile names them.
    Thing,
    /// All certificates, since their names are not known ahead.
    Certificate,
    /// MQTT clients that are called as things are.
    Client,
    /// Nothing narrower exists.
    Any,
    /// Bulk registration, for which nothing narrower exists either.
    Task,
    /// None is needed: the ID token stands for the person.
    Unsigned,
}

/// Whose work needs a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Brings devices online; writes nothing.
    Installer,
    /// Does that, and takes devices back.
    Support,
    /// Registers many devices at once from the office, and does nothing else.
    Registrar,
}

impl Role {
    /// Whether this role makes the calls of that one. A registrar is no installer: who may register a thousand devices
    /// at a desk has no need of claims.
    pub fn covers(self, other: Self) -> bool {
        self == other || (self == Self::Support && other == Self::Installer)
    }
}

macro_rules! operations {
    ($(#[doc = $doc:literal] $name:ident: $service:ident, $prefix:literal, $scope:ident, $role:ident;)*) => {
        /// A call to AWS.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Operation {
            $(#[doc = $doc] $name,)*
        }

        impl Operation {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// Its name, as AWS writes it.
            pub fn name(self) -> &'static str {
                match self { $(Self::$name => stringify!($name),)* }
            }

            /// The IAM action that allows it.
            pub fn action(self) -> &'static str {
                match self { $(Self::$name => concat!($prefix, ":", stringify!($name)),)* }
            }

            /// Whom it asks.
            pub fn service(self) -> Service {
                match self { $(Self::$name => Service::$service,)* }
            }

            /// On what it needs a permission.
            pub fn scope(self) -> Scope {
                match self { $(Self::$name => Scope::$scope,)* }
            }

            /// The least role that makes it.
            pub fn role(self) -> Role {
                match self { $(Self::$name => Role::$role,)* }
            }

            /// What it is for: its own doc comment, so that the two cannot differ.
            pub fn purpose(self) -> &'static str {
                match self { $(Self::$name => $doc.trim_ascii(),)* }
            }
        }
    };
}

operations! {
    /// Fetches the claim for one device.
    CreateProvisioningClaim: Iot, "iot", Template, Installer;
    /// Reads the template: whether it is on, its parameters, what it does with a thing that is there.
    DescribeProvisioningTemplate: Iot, "iot", Template, Installer;
    /// Asks where devices go.
    DescribeEndpoint: Iot, "iot", Any, Installer;
    /// Reads a thing: its version and attributes.
    DescribeThing: Iot, "iot", Thing, Installer;
    /// Lists the certificates of a thing.
    ListThingPrincipals: Iot, "iot", Thing, Installer;
    /// Reads the state and age of a certificate.
    DescribeCertificate: Iot, "iot", Certificate, Installer;
    /// Asks whether a device is online, where fleet indexing knows that.
    GetThingConnectivityData: Iot, "iot", Thing, Installer;
    /// Asks the same of the data plane, which says whether the client has a certificate of the thing, and needs no index.
    GetConnection: IotData, "iot", Client, Installer;
    /// Switches an earlier certificate off.
    UpdateCertificate: Iot, "iot", Certificate, Support;
    /// Starts the registration of all devices in a line file.
    StartThingRegistrationTask: Iot, "iot", Task, Registrar;
    /// Lists the tasks that run, where it is unknown whether one began.
    ListThingRegistrationTasks: Iot, "iot", Task, Registrar;
    /// Reads how far such a task is.
    DescribeThingRegistrationTask: Iot, "iot", Task, Registrar;
    /// Lists where its reports of errors lie.
    ListThingRegistrationTaskReports: Iot, "iot", Task, Registrar;
    /// Stops it.
    StopThingRegistrationTask: Iot, "iot", Task, Registrar;
    /// Finds the person's place in the identity pool.
    GetId: CognitoIdentity, "cognito-identity", Unsigned, Installer;
    /// Fetches keys from the identity pool.
    GetCredentialsForIdentity: CognitoIdentity, "cognito-identity", Unsigned, Installer;
    /// Fetches keys for the role.
    AssumeRoleWithWebIdentity: Sts, "sts", Unsigned, Installer;
}

impl Operation {
    /// Whether it changes something outside.
    pub fn writes(self) -> bool {
        matches!(
            self,
            Self::CreateProvisioningClaim
                | Self::UpdateCertificate
                | Self::StartThingRegistrationTask
                | Self::StopThingRegistrationTask
        )
    }
}
