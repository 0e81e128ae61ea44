"""AWS's own client library, unmodified, against the sandbox's AWS account: the calls succeed and are refused as AWS documents.

What is shown: keys by Cognito and by STS, claims, templates, things, certificates, policies, shadows and connections over
requests that botocore signs and answers that botocore reads. Each refusal is the library's own typed exception.
"""

import json
import tempfile
import time
import unittest
from datetime import datetime, timedelta, timezone
from pathlib import Path
from unittest import mock

import boto3
import botocore.auth
from awsiot import iotidentity
from botocore import UNSIGNED
from botocore.config import Config
from botocore.exceptions import ClientError

from sandbox import Sandbox
from sdk import Device
from test_fleet_provisioning import keys_of_its_own

TEMPLATE = "FieldkeyTemplate"
# The library signs with AWS's common runtime where that is installed, and else with its own code.
PYTHON_SIGNER = mock.patch.dict(botocore.auth.AUTH_TYPE_MAPS, {"v4": botocore.auth.SigV4Auth})


def setUpModule():
    global folder, site
    folder = tempfile.TemporaryDirectory(prefix="fieldkey-conformance-")
    site = Sandbox(folder.name)
    (Path(folder.name) / "ca.pem").write_text(site.ca)


def tearDownModule():
    code = site.interrupt()
    folder.cleanup()
    if code != 0:
        raise AssertionError(f"after Ctrl-C the sandbox ended with {code}")


def client(service, keys=None, region=None):
    """A client of the library; unsigned where there are no keys."""
    config = {"retries": {"max_attempts": 0}}
    if keys is None:
        config["signature_version"] = UNSIGNED
    identity = keys or {}
    return boto3.client(
        service,
        endpoint_url=site.aws["url"],
        region_name=region or site.aws["region"],
        verify=str(Path(folder.name) / "ca.pem"),
        config=Config(**config),
        aws_access_key_id=identity.get("AccessKeyId"),
        aws_secret_access_key=identity.get("SecretAccessKey"),
        aws_session_token=identity.get("SessionToken"),
    )


def administrator():
    return {
        "AccessKeyId": site.administrator["accessKeyId"],
        "SecretAccessKey": site.administrator["secretAccessKey"],
    }


def id_token(user="anna"):
    return site.tokens(user)["id_token"]


def provider():
    return site.issuer.removeprefix("https://")


def by_cognito(user="anna"):
    """The keys of an identity pool's identity, and the identity."""
    pool, logins = client("cognito-identity"), {provider(): id_token(user)}
    identity = pool.get_id(IdentityPoolId=site.aws["identityPool"], Logins=logins)["IdentityId"]
    found = pool.get_credentials_for_identity(IdentityId=identity, Logins=logins)["Credentials"]
    keys = {
        "AccessKeyId": found["AccessKeyId"],
        "SecretAccessKey": found["SecretKey"],
        "SessionToken": found["SessionToken"],
    }
    return keys, found["Expiration"], identity


def by_sts(user="anna", **more):
    wish = {
        "RoleArn": site.aws["installerRole"],
        "RoleSessionName": user,
        "WebIdentityToken": id_token(user),
        **more,
    }
    return client("sts").assume_role_with_web_identity(**wish)


def installer():
    return client("iot", by_cognito()[0])


class Case(unittest.TestCase):
    def assert_refused(self, exception, words, action):
        """The library's own exception, with these words of AWS's."""
        with self.assertRaises(exception) as caught:
            action()
        self.assertIn(words, caught.exception.response["Error"]["Message"])

    def assert_code(self, status, code, words, action):
        """A refusal that the library has no exception of its own for: those of signatures and rights."""
        with self.assertRaises(ClientError) as caught:
            action()
        answer = caught.exception.response
        self.assertEqual((answer["ResponseMetadata"]["HTTPStatusCode"], answer["Error"]["Code"]), (status, code))
        self.assertIn(words, answer["Error"]["Message"])


class Keys(Case):
    def test_an_identity_pool_gives_a_person_the_same_identity_and_keys_for_an_hour(self):
        keys, ends, identity = by_cognito()
        self.assertEqual(by_cognito()[2], identity)
        left = ends - datetime.now(timezone.utc)
        self.assertTrue(timedelta(minutes=59) < left <= timedelta(hours=1, seconds=2), left)
        who = client("sts", keys).get_caller_identity()
        role = site.aws["installerRole"].rsplit("/", 1)[1]
        self.assertEqual(who["Account"], site.aws["account"])
        self.assertIn(f":assumed-role/{role}/", who["Arn"])

    def test_a_pool_refuses_what_is_no_login_of_it(self):
        pool = client("cognito-identity")
        wrong = pool.exceptions.NotAuthorizedException
        ask = lambda logins: pool.get_id(IdentityPoolId=site.aws["identityPool"], Logins=logins)
        good = id_token()
        head, claims, signature = good.split(".")
        self.assert_refused(wrong, "Unauthenticated access", lambda: ask({}))
        self.assert_refused(wrong, "supported provider", lambda: ask({"accounts.example.com": good}))
        self.assert_refused(wrong, "Not a valid OpenId Connect", lambda: ask({provider(): "no.token.at-all"}))
        access = site.sign_in("anna")
        self.assert_refused(wrong, "Not a valid OpenId Connect", lambda: ask({provider(): access}))
        forged = f"{head}.{claims}.{signature[:-8]}AAAAAAAA"
        self.assert_refused(wrong, "Couldn't verify", lambda: ask({provider(): forged}))
        self.assert_refused(
            pool.exceptions.ResourceNotFoundException,
            "not found",
            lambda: pool.get_id(IdentityPoolId=f"{site.aws['region']}:00000000-0000-0000-0000-000000000000"),
        )

    def test_an_identity_is_only_its_own_persons(self):
        identity = by_cognito("anna")[2]
        pool = client("cognito-identity")
        self.assert_refused(
            pool.exceptions.NotAuthorizedException,
            "is forbidden",
            lambda: pool.get_credentials_for_identity(IdentityId=identity, Logins={provider(): id_token("sam")}),
        )

    def test_a_role_is_assumed_under_the_persons_name_for_the_time_that_was_asked(self):
        answer = by_sts(DurationSeconds=900)
        self.assertEqual(answer["SubjectFromWebIdentityToken"], "anna")
        self.assertTrue(answer["AssumedRoleUser"]["Arn"].endswith("/anna"))
        left = answer["Credentials"]["Expiration"] - datetime.now(timezone.utc)
        self.assertTrue(timedelta(minutes=14) < left <= timedelta(minutes=15, seconds=2), left)
        who = client("sts", answer["Credentials"]).get_caller_identity()
        self.assertEqual(who["Arn"], answer["AssumedRoleUser"]["Arn"])

    def test_a_role_is_not_given_to_whom_it_does_not_trust(self):
        sts = client("sts")
        forged = id_token()[:-8] + "AAAAAAAA"
        self.assert_refused(
            sts.exceptions.InvalidIdentityTokenException,
            "signature",
            lambda: by_sts(WebIdentityToken=forged),
        )
        self.assert_code(
            403, "AccessDenied", "Not authorized", lambda: by_sts(RoleArn=site.aws["supportRole"])
        )
        self.assert_refused(
            sts.exceptions.MalformedPolicyDocumentException, "JSON", lambda: by_sts(Policy="{no policy}")
        )
        self.assert_refused(
            sts.exceptions.PackedPolicyTooLargeException, "allotted", lambda: by_sts(Policy="x" * 2049)
        )
        # Longer than the bound that a role has from the beginning.
        self.assert_code(400, "ValidationError", "MaxSessionDuration", lambda: by_sts(DurationSeconds=3601))
        # The library knows how long a name may be, and not of which signs.
        self.assert_code(
            400, "ValidationError", "roleSessionName", lambda: by_sts(RoleSessionName="Anna Installer")
        )

    def test_a_session_policy_narrows_and_never_widens(self):
        narrow = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "iot:*", "Resource": "*"}]}
        keys = by_sts(Policy=json.dumps(narrow))["Credentials"]
        client("iot", keys).describe_provisioning_template(templateName=TEMPLATE)
        self.assert_code(
            403, "AccessDeniedException", "identity-based policy", lambda: client("iot", keys).delete_thing(thingName="x")
        )
        narrow["Statement"][0]["Action"] = "iot:DescribeEndpoint"
        keys = by_sts(Policy=json.dumps(narrow))["Credentials"]
        client("iot", keys).describe_endpoint(endpointType="iot:Data-ATS")
        self.assert_code(
            403,
            "AccessDeniedException",
            "session policy",
            lambda: client("iot", keys).create_provisioning_claim(templateName=TEMPLATE),
        )


class Signatures(Case):
    def ask(self, keys, region=None):
        return client("iot", keys, region).describe_endpoint(endpointType="iot:Data-ATS")

    def test_a_wrong_secret_session_region_or_clock_is_refused_in_awss_words(self):
        keys = by_cognito()[0]
        self.ask(keys)
        words = "The request signature we calculated does not match"
        wrong = {**keys, "SecretAccessKey": keys["SecretAccessKey"][::-1]}
        self.assert_code(403, "InvalidSignatureException", words, lambda: self.ask(wrong))
        self.assert_code(
            403, "InvalidSignatureException", "valid region", lambda: self.ask(keys, "us-west-2")
        )
        for unknown in (
            {**keys, "SessionToken": "another"},
            {**keys, "AccessKeyId": "ASIAAAAAAAAAAAAAAAAA"},
        ):
            self.assert_code(403, "UnrecognizedClientException", "security token", lambda: self.ask(unknown))
        self.assert_code(
            403, "MissingAuthenticationTokenException", "Missing", lambda: self.ask(None)
        )
        late = datetime.now(timezone.utc) - timedelta(minutes=10)
        with PYTHON_SIGNER, mock.patch.object(botocore.auth, "get_current_datetime", lambda *_, **__: late):
            self.assert_code(
                403, "InvalidSignatureException", "Signature expired", lambda: self.ask(keys)
            )

    def test_both_of_awss_signers_are_believed(self):
        keys = by_cognito()[0]
        self.ask(keys)
        with PYTHON_SIGNER:
            self.ask(keys)
            # What has to be encoded in path and query is where signers differ.
            admin = client("iot", administrator())
            admin.create_thing(thingName="a:b_c")
            admin.delete_thing(thingName="a:b_c")
            data = client("iot-data", administrator())
            data.update_thing_shadow(thingName="a:b", shadowName="c:d", payload='{"state": {}}')
            data.delete_thing_shadow(thingName="a:b", shadowName="c:d")


class Claims(Case):
    def test_an_installer_gets_a_claim_for_the_one_template_and_reads_it(self):
        iot = installer()
        claim = iot.create_provisioning_claim(templateName=TEMPLATE)
        self.assertRegex(claim["certificateId"], r"^[0-9a-f]{64}$")
        self.assertIn("BEGIN PUBLIC KEY", claim["keyPair"]["PublicKey"])
        left = claim["expiration"] - datetime.now(timezone.utc)
        self.assertTrue(timedelta(minutes=4) < left <= timedelta(minutes=5, seconds=2), left)
        template = iot.describe_provisioning_template(templateName=TEMPLATE)
        self.assertTrue(template["enabled"])
        self.assertIn("SerialNumber", json.loads(template["templateBody"])["Parameters"])
        # A claim's certificate is on no list, and nobody can look at it.
        admin = client("iot", administrator())
        listed = {one["certificateId"] for one in admin.list_certificates()["certificates"]}
        self.assertNotIn(claim["certificateId"], listed)
        self.assert_refused(
            admin.exceptions.ResourceNotFoundException,
            "does not exist",
            lambda: admin.describe_certificate(certificateId=claim["certificateId"]),
        )

    def test_another_template_is_denied_to_an_installer_and_missing_to_the_administrator(self):
        iot, admin = installer(), client("iot", administrator())
        self.assert_code(
            403,
            "AccessDeniedException",
            "iot:CreateProvisioningClaim on resource",
            lambda: iot.create_provisioning_claim(templateName="Another"),
        )
        self.assert_refused(
            admin.exceptions.ResourceNotFoundException,
            "not found",
            lambda: admin.create_provisioning_claim(templateName="Another"),
        )
        # The library lets it pass; AWS does not.
        self.assert_refused(
            admin.exceptions.InvalidRequestException,
            "1 to 36",
            lambda: admin.create_provisioning_claim(templateName="x" * 40),
        )

    def test_a_template_is_switched_off_and_on(self):
        admin = client("iot", administrator())
        for enabled in (False, True):
            admin.update_provisioning_template(templateName=TEMPLATE, enabled=enabled)
            told = admin.describe_provisioning_template(templateName=TEMPLATE)
            self.assertEqual(told["enabled"], enabled)
        listed = [one["templateName"] for one in admin.list_provisioning_templates()["templates"]]
        self.assertEqual(listed, [TEMPLATE])


class Registry(Case):
    def enrol(self):
        """A device with a claim that AWS gave, over the device library; gives thing and certificate."""
        serial = site.fresh_serial()
        claim = installer().create_provisioning_claim(templateName=TEMPLATE)
        with Device("5", site.mqtt, site.ca, claim["certificatePem"], claim["keyPair"]["PrivateKey"]) as device:
            identity = device.identity()
            made, key = keys_of_its_own(identity)
            request = iotidentity.RegisterThingRequest(
                template_name=TEMPLATE,
                certificate_ownership_token=made.certificate_ownership_token,
                parameters={"SerialNumber": serial},
            )
            thing = identity.register_thing(request).result(15).thing_name
        return thing, made, key

    def test_a_device_that_enrols_with_a_claim_of_awss_is_seen_by_an_installer(self):
        thing, made, key = self.enrol()
        keys = by_cognito()[0]
        iot, data = client("iot", keys), client("iot-data", keys)
        self.assertEqual(iot.describe_thing(thingName=thing)["attributes"]["serial"], thing)
        principals = iot.list_thing_principals(thingName=thing)["principals"]
        self.assertEqual([one.rsplit("/", 1)[1] for one in principals], [made.certificate_id])
        told = iot.describe_certificate(certificateId=made.certificate_id)["certificateDescription"]
        self.assertEqual((told["status"], told["certificatePem"]), ("ACTIVE", made.certificate_pem))
        self.assertLess(abs(told["creationDate"] - datetime.now(timezone.utc)), timedelta(minutes=1))
        self.assert_refused(
            data.exceptions.ResourceNotFoundException, "connection", lambda: data.get_connection(clientId=thing)
        )
        with Device("3.1.1", site.mqtt, site.ca, made.certificate_pem, key, thing):
            told = iot.get_thing_connectivity_data(thingName=thing)
            self.assertTrue(told["connected"])
            told = data.get_connection(clientId=thing)
            self.assertEqual((told["connected"], told["thingName"]), (True, thing))
        deadline = time.monotonic() + 15
        while iot.get_thing_connectivity_data(thingName=thing)["connected"]:
            self.assertLess(time.monotonic(), deadline)

    def test_a_claims_session_under_the_things_name_counts_as_connected_and_belongs_to_no_thing(self):
        serial = site.fresh_serial()
        claim = installer().create_provisioning_claim(templateName=TEMPLATE)
        pair = claim["certificatePem"], claim["keyPair"]["PrivateKey"]
        keys = by_cognito()[0]
        iot, data = client("iot", keys), client("iot-data", keys)
        with Device("5", site.mqtt, site.ca, *pair, serial) as device:
            identity = device.identity()
            made, _ = keys_of_its_own(identity)
            request = iotidentity.RegisterThingRequest(
                template_name=TEMPLATE,
                certificate_ownership_token=made.certificate_ownership_token,
                parameters={"SerialNumber": serial},
            )
            self.assertEqual(identity.register_thing(request).result(15).thing_name, serial)
            self.assertTrue(iot.get_thing_connectivity_data(thingName=serial)["connected"])
            told = data.get_connection(clientId=serial)
            self.assertEqual((told["connected"], told.get("thingName")), (True, None))
        told = iot.describe_certificate(certificateId=made.certificate_id)["certificateDescription"]
        self.assertEqual(told["status"], "ACTIVE")
        self.assertGreaterEqual(told["lastModifiedDate"], told["creationDate"])

    def test_what_an_installer_may_not_do_is_denied(self):
        thing, made, _ = self.enrol()
        iot = installer()
        arn = iot.list_thing_principals(thingName=thing)["principals"][0]
        for action in (
            lambda: iot.update_certificate(certificateId=made.certificate_id, newStatus="INACTIVE"),
            lambda: iot.detach_thing_principal(thingName=thing, principal=arn),
            lambda: iot.delete_thing(thingName=thing),
            lambda: iot.list_things(),
        ):
            self.assert_code(403, "AccessDeniedException", "is not authorized to perform: iot:", action)
        support = client("iot", by_cognito("sam")[0])
        support.update_certificate(certificateId=made.certificate_id, newStatus="INACTIVE")

    def test_taking_a_device_out_is_refused_in_the_wrong_order_and_done_in_the_right_one(self):
        thing, made, _ = self.enrol()
        admin = client("iot", administrator())
        arn, certificate = admin.list_thing_principals(thingName=thing)["principals"][0], made.certificate_id
        delete = lambda **more: admin.delete_certificate(certificateId=certificate, **more)
        self.assert_refused(admin.exceptions.CertificateStateException, "not ACTIVE", delete)
        self.assert_refused(
            admin.exceptions.InvalidRequestException, "attached", lambda: admin.delete_thing(thingName=thing)
        )
        admin.update_certificate(certificateId=certificate, newStatus="INACTIVE")
        self.assert_refused(admin.exceptions.DeleteConflictException, "Things", delete)
        # Asynchronous: it still hangs there when the call is answered.
        admin.detach_thing_principal(thingName=thing, principal=arn)
        self.assertEqual(admin.list_thing_principals(thingName=thing)["principals"], [arn])
        deadline = time.monotonic() + 15
        while admin.list_thing_principals(thingName=thing)["principals"]:
            self.assertLess(time.monotonic(), deadline)
        self.assertEqual(admin.list_principal_things(principal=arn)["things"], [])
        self.assert_refused(admin.exceptions.DeleteConflictException, "policies", delete)
        policies = admin.list_attached_policies(target=arn)["policies"]
        self.assertEqual([one["policyName"] for one in policies], ["fieldkey-device"])
        self.assert_refused(
            admin.exceptions.DeleteConflictException,
            "attached",
            lambda: admin.delete_policy(policyName="fieldkey-device"),
        )
        admin.detach_policy(policyName="fieldkey-device", target=arn)
        delete()
        self.assert_refused(admin.exceptions.ResourceNotFoundException, certificate, delete)
        version = admin.describe_thing(thingName=thing)["version"]
        self.assert_refused(
            admin.exceptions.VersionConflictException,
            "version",
            lambda: admin.delete_thing(thingName=thing, expectedVersion=version + 1),
        )
        admin.delete_thing(thingName=thing, expectedVersion=version)
        self.assert_refused(
            admin.exceptions.ResourceNotFoundException, thing, lambda: admin.describe_thing(thingName=thing)
        )
        # Deleting what is not there succeeds.
        admin.delete_thing(thingName=thing)

    def test_a_certificate_is_attached_again_and_a_second_thing_does_not_get_it(self):
        thing, _, _ = self.enrol()
        admin = client("iot", administrator())
        arn = admin.list_thing_principals(thingName=thing)["principals"][0]
        admin.attach_thing_principal(thingName=thing, principal=arn)
        admin.create_thing(thingName="spare", attributePayload={"attributes": {"colour": "red"}})
        admin.create_thing(thingName="spare", attributePayload={"attributes": {"colour": "red"}})
        self.assert_refused(
            admin.exceptions.ResourceAlreadyExistsException,
            "already exists",
            lambda: admin.create_thing(thingName="spare", attributePayload={"attributes": {"colour": "blue"}}),
        )
        self.assert_refused(
            admin.exceptions.InvalidRequestException,
            "exclusively",
            lambda: admin.attach_thing_principal(thingName="spare", principal=arn),
        )
        self.assert_refused(
            admin.exceptions.ResourceNotFoundException,
            "nobody",
            lambda: admin.attach_thing_principal(thingName="nobody", principal=arn),
        )
        admin.update_thing(thingName="spare", attributePayload={"attributes": {"size": "9"}, "merge": True})
        self.assertEqual(admin.describe_thing(thingName="spare")["attributes"], {"colour": "red", "size": "9"})
        names = [one["thingName"] for page in admin.get_paginator("list_things").paginate(
            PaginationConfig={"PageSize": 1}) for one in page["things"]]
        self.assertEqual(len(names), len(set(names)))
        self.assertIn("spare", names)
        admin.delete_thing(thingName="spare")

    def test_policies_are_made_read_attached_and_deleted(self):
        admin = client("iot", administrator())
        document = json.dumps({"Version": "2012-10-17", "Statement": []})
        admin.create_policy(policyName="own", policyDocument=document)
        self.assertEqual(admin.get_policy(policyName="own")["policyDocument"], document)
        self.assert_refused(
            admin.exceptions.ResourceAlreadyExistsException,
            "exists",
            lambda: admin.create_policy(policyName="own", policyDocument=document),
        )
        self.assert_refused(
            admin.exceptions.MalformedPolicyException,
            "Malformed",
            lambda: admin.create_policy(policyName="odd", policyDocument="{"),
        )
        thing, made, _ = self.enrol()
        arn = admin.list_thing_principals(thingName=thing)["principals"][0]
        admin.attach_policy(policyName="own", target=arn)
        self.assertEqual(admin.list_targets_for_policy(policyName="own")["targets"], [arn])
        admin.detach_policy(policyName="own", target=arn)
        admin.delete_policy(policyName="own")
        self.assert_refused(
            admin.exceptions.ResourceNotFoundException, "own", lambda: admin.get_policy(policyName="own")
        )

    def test_shadows_are_merged_versioned_and_deleted(self):
        data = client("iot-data", administrator())
        read = lambda answer: json.loads(answer["payload"].read())
        change = lambda wish: read(data.update_thing_shadow(thingName="lamp", payload=json.dumps(wish)))
        self.assertEqual(change({"state": {"desired": {"on": True, "hue": 3}}})["version"], 1)
        change({"state": {"desired": {"hue": None}, "reported": {"on": False}}})
        told = read(data.get_thing_shadow(thingName="lamp"))
        self.assertEqual(told["state"], {"desired": {"on": True}, "reported": {"on": False}})
        self.assert_refused(
            data.exceptions.ConflictException,
            "Version",
            lambda: change({"state": {"desired": {}}, "version": 7}),
        )
        data.update_thing_shadow(thingName="lamp", shadowName="night", payload=json.dumps({"state": {}}))
        self.assertEqual(data.list_named_shadows_for_thing(thingName="lamp")["results"], ["night"])
        data.delete_thing_shadow(thingName="lamp")
        self.assert_refused(
            data.exceptions.ResourceNotFoundException, "No shadow", lambda: data.get_thing_shadow(thingName="lamp")
        )


if __name__ == "__main__":
    unittest.main()
