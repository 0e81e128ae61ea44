//! The AWS account's services, each in the form of its own protocol. What they do is shown by AWS's own client, in the
//! conformance tests.

use reqwest::header::CONTENT_TYPE;
use reqwest::{RequestBuilder, Response};
use sandbox::cloud::tls::https_client;
use sandbox::cloud::{Cloud, CloudConfig, CloudFaults};

async fn down() -> (Cloud, reqwest::Client) {
    let config = CloudConfig {
        faults: CloudFaults {
            aws_down: true,
            ..CloudFaults::default()
        },
        ..CloudConfig::default()
    };
    let cloud = Cloud::start(config).await.unwrap();
    let https = https_client(&cloud.ca_pem).unwrap();
    (cloud, https)
}

async fn refused(request: RequestBuilder) -> (Response, String) {
    let answer = request.send().await.unwrap();
    assert_eq!(answer.status(), 503);
    let kind = answer.headers()[CONTENT_TYPE].to_str().unwrap().to_owned();
    (answer, kind)
}

#[tokio::test]
async fn a_service_that_is_down_says_so_in_the_form_of_its_protocol() {
    let (cloud, https) = down().await;
    let url = &cloud.aws.url;
    let form = [("Action", "AssumeRoleWithWebIdentity"), ("Version", "2011-06-15")];

    let (answer, kind) = refused(https.post(url).form(&form)).await;
    let text = answer.text().await.unwrap();
    assert_eq!(kind, "text/xml");
    assert!(
        text.contains("<Type>Receiver</Type><Code>ServiceUnavailable</Code>"),
        "{text}"
    );

    let (answer, kind) = refused(https.get(format!("{}/fieldkey-registration/a", cloud.aws.s3))).await;
    let text = answer.text().await.unwrap();
    assert_eq!(kind, "application/xml");
    assert!(text.contains("<Error><Code>ServiceUnavailable</Code>"), "{text}");

    let pool = https
        .post(url)
        .header("x-amz-target", "AWSCognitoIdentityService.GetId");
    let (answer, kind) = refused(pool).await;
    let body: serde_json::Value = answer.json().await.unwrap();
    assert_eq!(
        (kind.as_str(), &body["__type"]),
        (
            "application/x-amz-json-1.1",
            &"ServiceUnavailableException".into()
        )
    );

    let (answer, kind) = refused(https.get(format!("{url}/things"))).await;
    assert_eq!(kind, "application/json");
    assert_eq!(
        answer.headers()["x-amzn-errortype"],
        "ServiceUnavailableException"
    );
    cloud.shutdown().await;
}
