//! An AWS account with no broker in between: the same journeys by Cognito and by STS, and what an account refuses.

use journeys::Site;
use sandbox::cloud::{CloudFaults, HangUp};
use sandbox::sandbox::{COGNITO_PROFILE_FILE, STS_PROFILE_FILE};

const WAYS: [&str; 2] = [COGNITO_PROFILE_FILE, STS_PROFILE_FILE];

fn as_it_is(profile: &str) -> String {
    profile.to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn devices_are_enrolled_by_an_identity_pool_and_by_a_role_with_no_broker_in_between() {
    for way in WAYS {
        let site = Site::open_by(
            "[[device]]\nserial = \"A\"\nsecurity = 2\n[[device]]\nserial = \"B\"\nsecurity = 1\nkeep_link = true",
            way,
            as_it_is,
        )
        .await;
        // The broker is no part of it.
        site.sandbox.cloud().faults().change(|now| now.broker_down = true);
        let run = site.commission(&[]).await.exits(0);
        for serial in ["A", "B"] {
            assert_eq!(run.ended(serial), ("done", ""), "{way}");
            assert_eq!(site.missing_at_aws(serial), [""; 0], "{way}");
        }
        assert!(
            site.status().claims.iter().all(|claim| claim.state == "used"),
            "{way}"
        );
        site.run(&["resume"]).await.exits(0).last("nothing-open");
        drop(site.run(&["doctor"]).await.exits(0));
    }
}
