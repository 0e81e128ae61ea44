//! `AWS.md`, written from the table of operations. The test writes it where it differs and fails, so that what is
//! committed cannot drift from what is called.

use std::fmt::Write;
use std::path::Path;

use super::operation::{Operation, Role, Scope};

const HEAD: &str = "\
# AWS IoT, directly

With `kind = \"aws-iot\"` in the organisation profile Fieldkey asks the AWS account itself, with no broker in between: the
installer's ID token becomes AWS keys that live for an hour or as the profile says, by a Cognito identity pool or by
AssumeRoleWithWebIdentity, and with these it fetches a claim for each device and watches the registry until the device
is enrolled. Keys and claims are in memory only.

`fieldkey aws policy` prints what an account of the profile's strategy has to be given; `fieldkey doctor` looks whether it
has been. This page is
written from the table in `operation.rs`, from which the policies are made, too.

## Every call, and the permission that it needs

| call | IAM action | on | role | what for |
| --- | --- | --- | --- | --- |
";

const TAIL: &str = "
An installer writes nothing but claims. Keys by a role are narrowed further, by a policy of the session, to these calls
and the one template of the profile, and the session is called after the person.

## Bulk registration

`fieldkey aws bulk` is for the office, which signs in with a role of its own, the registrar's: it cannot fetch
claims, and an installer's keys cannot register in bulk. What it registers may take over things of the same names, so
that its trust names persons (`fieldkey aws policy --part named-trust`), as that of support does: whoever signs in could
take the role otherwise. By a Cognito pool, let the pool give the role and leave its classic flow off; by STS, import a
profile whose `role` is the registrar's, and name it with `--profile`. By STS, keys for `start` may pass on the one role
that is named there, and keys for `follow` and `stop` none.

1. `lines` makes the line file of the maker's list, `check` looks through one: one JSON object a line, each a device.
2. The file goes to S3 with the office's own tools: Fieldkey has no rights in S3, and a laptop should have none.
3. `start` starts the task. AWS reads the file with the role that is passed on, so that this role needs
   `s3:GetObject` for it, the managed policy AWSIoTThingsRegistration, and to trust `iot.amazonaws.com`.
4. `follow` waits for its end and shows the devices that failed; `stop` stops it.

An account runs one task at a time, and AWS ends one after 30 days. AWS does not describe the form of an error report:
Fieldkey takes each line's `lineNumber`, counted from 1, with what stands there as code and message, and shows a line
that it cannot read as it came. Links to reports open for whoever has them: they are neither shown nor logged. A report
may have 1 MiB; where one cannot be read, how the task ended is told all the same.

## What cannot be had from AWS

- **A claim is not undone.** AWS has no call for it and lists claims nowhere: Fieldkey forgets it, and it dies within
  five minutes. Until then the template's hook alone keeps it from being used for another device.
- **Issuing is not idempotent.** Fieldkey remembers each claim by the key of its request while it lives; after a crash
  a new one is issued, and the lost one dies.
- **There is no list of devices.** Whether a serial number may be registered is for the hook to say, when the device
  registers.
- **A connection does not tell its certificate.** One that began after the new certificate was made is taken for one
  with it.
- **Nothing is released.** A device belongs to the fleet once it is registered; what is checked at the end is that
  exactly one of its certificates is active.
- **Switching off takes minutes.** AWS drops a device that is connected with a certificate that went INACTIVE within a
  few minutes, not at once.
";

fn on(scope: Scope) -> &'static str {
    match scope {
        Scope::Template => "the template",
        Scope::Thing => "things as the profile names them",
        Scope::Certificate => "all certificates",
        Scope::Client => "clients called as things",
        Scope::Any | Scope::Task => "everything; AWS has nothing narrower",
        Scope::Unsigned => "none: the ID token stands for the person",
    }
}

fn page() -> String {
    let mut page = HEAD.to_owned();
    for operation in Operation::ALL {
        let action = match operation.scope() {
            Scope::Unsigned => "—".to_owned(),
            _ => format!("`{}`", operation.action()),
        };
        let role = match operation.role() {
            Role::Installer => "installer",
            Role::Support => "support",
            Role::Registrar => "registrar",
        };
        writeln!(
            page,
            "| {} | {action} | {} | {role} | {} |",
            operation.name(),
            on(operation.scope()),
            operation.purpose()
        )
        .unwrap();
    }
    page.push_str(TAIL);
    page
}

#[test]
fn the_committed_page_lists_every_call_that_is_made() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/cloud/aws/AWS.md");
    let page = page();
    let known = std::fs::read_to_string(&path).unwrap_or_default();
    if known != page {
        std::fs::write(&path, page).unwrap();
        panic!("written anew, to be committed: {}", path.display());
    }
}
