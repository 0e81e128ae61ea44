"""AWS's own client library, unmodified, registers devices in bulk at the sandbox's AWS account.

What is shown: a line file into S3 and back, the five calls about registration tasks as the registrar, reports over links
that need no signature, a device that then connects with the certificate that it was given, and each refusal. The client
of S3 is told to send checksums only where it must: see `src/cloud/aws/s3.rs` of the sandbox for what it would send else.
"""

import json
import time
import unittest
import urllib.error
import urllib.parse
import urllib.request
import uuid
from pathlib import Path

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

import test_aws_account as account
from sdk import Device
from test_aws_account import Case, administrator, by_cognito, by_sts, client, setUpModule, tearDownModule

THINGS = json.dumps(
    {
        "Parameters": {"SerialNumber": {"Type": "String"}, "Site": {"Type": "String"}},
        "Resources": {
            "thing": {
                "Type": "AWS::IoT::Thing",
                "Properties": {
                    "ThingName": {"Ref": "SerialNumber"},
                    "AttributePayload": {"site": {"Ref": "Site"}},
                },
            }
        },
    }
)
DEVICES = json.dumps(
    {
        "Parameters": {"SerialNumber": {"Type": "String"}, "CSR": {"Type": "String"}},
        "Resources": {
            "thing": {"Type": "AWS::IoT::Thing", "Properties": {"ThingName": {"Ref": "SerialNumber"}}},
            "certificate": {
                "Type": "AWS::IoT::Certificate",
                "Properties": {"CertificateSigningRequest": {"Ref": "CSR"}, "Status": "Active"},
            },
            "policy": {"Type": "AWS::IoT::Policy", "Properties": {"PolicyName": "fieldkey-device"}},
        },
    }
)


def store(keys, **config):
    """A client of S3, told to sign bodies."""
    usual = {
        "request_checksum_calculation": "when_required",
        "response_checksum_validation": "when_required",
        "s3": {"addressing_style": "path"},
    }
    return boto3.client(
        "s3",
        endpoint_url=account.site.aws["s3"],
        region_name=account.site.aws["region"],
        verify=str(Path(account.folder.name) / "ca.pem"),
        config=Config(retries={"max_attempts": 0}, **{**usual, **config}),
        aws_access_key_id=keys["AccessKeyId"],
        aws_secret_access_key=keys["SecretAccessKey"],
        aws_session_token=keys.get("SessionToken"),
    )


def registrar():
    """The keys of the one person who may register in bulk."""
    return by_sts("rita", RoleArn=account.site.aws["registrarRole"])["Credentials"]


def lines(*devices):
    return "".join(json.dumps(device) + "\n" for device in devices).encode()


def order(key, template=THINGS, **more):
    aws = account.site.aws
    wish = {"inputFileBucket": aws["bucket"], "inputFileKey": key, "roleArn": aws["registrationRole"]}
    return {"templateBody": template, **wish, **more}


def fetch(link):
    """What a link opens, for a program that has nothing but the link."""
    with urllib.request.urlopen(link, context=account.site.tls) as answer:
        return [json.loads(line) for line in answer.read().decode().splitlines()]


class Store(Case):
    def test_an_object_is_put_looked_at_and_fetched_by_a_key_of_any_signs(self):
        s3, bucket = store(administrator()), account.site.aws["bucket"]
        for key in ("2026/things.jsonl", "a b/ü+c&d=e~f.jsonl"):
            put = s3.put_object(Bucket=bucket, Key=key, Body=b"one\ntwo\n", ContentType="application/jsonl")
            looked = s3.head_object(Bucket=bucket, Key=key)
            self.assertEqual((looked["ETag"], looked["ContentLength"]), (put["ETag"], 8))
            found = s3.get_object(Bucket=bucket, Key=key)
            self.assertEqual((found["Body"].read(), found["ContentType"]), (b"one\ntwo\n", "application/jsonl"))
            self.assertLess(abs(found["LastModified"].timestamp() - time.time()), 60)

    def test_what_is_not_there_is_told_to_whom_may_know_it(self):
        s3, bucket = store(administrator()), account.site.aws["bucket"]
        self.assert_refused(s3.exceptions.NoSuchKey, "key", lambda: s3.get_object(Bucket=bucket, Key="none"))
        self.assert_refused(
            s3.exceptions.NoSuchBucket, "bucket", lambda: s3.put_object(Bucket="another", Key="a", Body=b"")
        )
        with self.assertRaises(ClientError) as caught:
            s3.head_object(Bucket=bucket, Key="none")
        self.assertEqual(caught.exception.response["Error"]["Code"], "404")

    def test_nobody_of_the_issuer_has_rights_there(self):
        bucket = account.site.aws["bucket"]
        for keys in (registrar(), by_cognito("anna")[0]):
            s3 = store(keys)
            for action, call in (
                ("s3:PutObject", lambda: s3.put_object(Bucket=bucket, Key="a", Body=b"")),
                ("s3:GetObject", lambda: s3.get_object(Bucket=bucket, Key="a")),
            ):
                self.assert_code(403, "AccessDenied", f"not authorized to perform: {action}", call)

    def test_signatures_are_refused_by_s3s_own_names_and_no_body_goes_unsigned(self):
        keys, bucket = administrator(), account.site.aws["bucket"]
        put = lambda s3: s3.put_object(Bucket=bucket, Key="a", Body=b"body")
        wrong = store({**keys, "SecretAccessKey": keys["SecretAccessKey"][::-1]})
        self.assert_code(403, "SignatureDoesNotMatch", "does not match", lambda: put(wrong))
        unknown = store({**keys, "AccessKeyId": "AKIAAAAAAAAAAAAAAAAA"})
        self.assert_code(403, "InvalidAccessKeyId", "security token", lambda: put(unknown))
        unsigned = store(keys, s3={"addressing_style": "path", "payload_signing_enabled": False})
        # What the library would do by itself, and what this project tells it not to.
        trailing = store(keys, request_checksum_calculation="when_supported")
        for s3 in (unsigned, trailing):
            self.assert_code(501, "NotImplemented", "signed whole", lambda: put(s3))
        too_long = lambda: store(keys).put_object(Bucket=bucket, Key="a", Body=b" " * (20 * 1024 * 1024))
        self.assert_code(400, "EntityTooLarge", "exceeds", too_long)


class Tasks(Case):
    def put(self, body):
        key = f"{uuid.uuid4()}.jsonl"
        store(administrator()).put_object(Bucket=account.site.aws["bucket"], Key=key, Body=body)
        return key

    def ended(self, iot, task, limit=60):
        deadline = time.monotonic() + limit
        while True:
            told = iot.describe_thing_registration_task(taskId=task)
            if told["status"] not in ("InProgress", "Cancelling"):
                return told
            self.assertLess(time.monotonic(), deadline, told["status"])
            time.sleep(0.1)

    def report(self, iot, task, kind):
        told = iot.list_thing_registration_task_reports(taskId=task, reportType=kind)
        self.assertEqual(told["reportType"], kind)
        return [line for link in told["resourceLinks"] for line in fetch(link)]

    def test_a_file_is_registered_line_by_line_and_each_is_reported(self):
        iot, admin, mark = client("iot", registrar()), client("iot", administrator()), uuid.uuid4().hex[:8]
        name = lambda number: f"bulk-{mark}-{number}"
        admin.create_thing(thingName=name(2), attributePayload={"attributes": {"site": "south"}})
        good = [{"SerialNumber": name(number), "Site": "north"} for number in (1, 2, 3)]
        key = self.put(lines(*good, {"SerialNumber": name(4)}) + b"no JSON\n" + lines({"SerialNumber": "a b", "Site": "n"}))
        task = iot.start_thing_registration_task(**order(key))["taskId"]
        told = self.ended(iot, task)
        self.assertEqual(
            (told["status"], told["successCount"], told["failureCount"], told["percentageProgress"]),
            ("Completed", 2, 4, 100),
        )
        self.assertEqual((told["inputFileKey"], told["templateBody"]), (key, THINGS))
        for number in (1, 3):
            self.assertEqual(admin.describe_thing(thingName=name(number))["attributes"], {"site": "north"})
        results = self.report(iot, task, "RESULTS")
        self.assertEqual([line["lineNumber"] for line in results], [1, 3])
        self.assertTrue(results[0]["response"]["resourceArns"]["thing"].endswith(f":thing/{name(1)}"))
        errors = {line["lineNumber"]: line["errorResponse"] for line in self.report(iot, task, "ERRORS")}
        self.assertEqual(sorted(errors), [2, 4, 5, 6])
        self.assertEqual(errors[2]["errorCode"], "ResourceRegistrationFailureException")
        self.assertIn("Site", errors[4]["errorMessage"])
        self.assertIn(task, iot_tasks(admin, "Completed"))

    def test_a_device_comes_online_with_the_certificate_that_its_line_got(self):
        iot, serial = client("iot", registrar()), account.site.fresh_serial()
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, serial)])
        request = x509.CertificateSigningRequestBuilder().subject_name(subject).sign(key, hashes.SHA256())
        request = request.public_bytes(serialization.Encoding.PEM).decode()
        good, bad = {"SerialNumber": serial, "CSR": request}, {"SerialNumber": f"{serial}-x", "CSR": request[:-80]}
        task = iot.start_thing_registration_task(**order(self.put(lines(good, bad)), DEVICES))["taskId"]
        told = self.ended(iot, task)
        self.assertEqual((told["successCount"], told["failureCount"]), (1, 1))
        made = self.report(iot, task, "RESULTS")[0]["response"]
        admin = client("iot", administrator())
        self.assertEqual(
            admin.list_thing_principals(thingName=serial)["principals"], [made["resourceArns"]["certificate"]]
        )
        private = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        with Device("5", account.site.mqtt, account.site.ca, made["certificatePem"], private.decode(), serial):
            self.assertTrue(admin.get_thing_connectivity_data(thingName=serial)["connected"])

    def test_one_task_runs_at_a_time_and_is_stopped_between_two_lines(self):
        iot, mark = client("iot", registrar()), uuid.uuid4().hex[:8]
        many = [{"SerialNumber": f"many-{mark}-{number}", "Site": "n"} for number in range(2000)]
        key = self.put(lines(*many))
        task = iot.start_thing_registration_task(**order(key))["taskId"]
        self.assertEqual(
            iot.list_thing_registration_task_reports(taskId=task, reportType="ERRORS")["resourceLinks"], []
        )
        self.assert_refused(
            iot.exceptions.InvalidRequestException,
            "one registration task",
            lambda: iot.start_thing_registration_task(**order(key)),
        )
        self.assertEqual(iot_tasks(client("iot", administrator()), "InProgress"), [task])
        deadline = time.monotonic() + 30
        while iot.describe_thing_registration_task(taskId=task)["successCount"] < 2:
            self.assertLess(time.monotonic(), deadline)
        iot.stop_thing_registration_task(taskId=task)
        told = self.ended(iot, task)
        self.assertEqual(told["status"], "Cancelled")
        self.assertTrue(2 <= told["successCount"] < 2000, told["successCount"])
        # What was registered before stays, and can be read.
        self.assertEqual(len(self.report(iot, task, "RESULTS")), told["successCount"])
        self.assert_refused(
            iot.exceptions.InvalidRequestException, "Cancelled", lambda: iot.stop_thing_registration_task(taskId=task)
        )

    def test_long_reports_come_in_several_files_page_by_page(self):
        iot, mark = client("iot", registrar()), uuid.uuid4().hex[:8]
        many = [{"SerialNumber": f"page-{mark}-{number}", "Site": "n"} for number in range(101)]
        task = iot.start_thing_registration_task(**order(self.put(lines(*many))))["taskId"]
        self.assertEqual(self.ended(iot, task)["successCount"], 101)
        pages = iot.get_paginator("list_thing_registration_task_reports").paginate(
            taskId=task, reportType="RESULTS", PaginationConfig={"PageSize": 1}
        )
        pages = [page["resourceLinks"] for page in pages]
        self.assertEqual([len(page) for page in pages], [1, 1])
        numbers = [line["lineNumber"] for page in pages for link in page for line in fetch(link)]
        self.assertEqual(numbers, list(range(1, 102)))

    def test_a_link_opens_its_own_report_and_nothing_else(self):
        iot = client("iot", registrar())
        task = iot.start_thing_registration_task(**order(self.put(b"no JSON\n")))["taskId"]
        self.ended(iot, task)
        link = iot.list_thing_registration_task_reports(taskId=task, reportType="ERRORS")["resourceLinks"][0]
        self.assertEqual(urllib.parse.urlsplit(link).hostname, "127.0.0.1")
        self.assertEqual(len(fetch(link)), 1)
        for other in (
            # Its first sign, since the last one of base64 has bits that do not count.
            link.replace("Signature=", "Signature=-"),
            link.split("?", 1)[0],
            link.replace("errors-1", "results-1"),
        ):
            with self.assertRaises(urllib.error.HTTPError) as caught:
                fetch(other)
            caught.exception.close()
            self.assertEqual(caught.exception.code, 403)

    def test_a_file_that_the_role_cannot_read_fails_the_task(self):
        iot = client("iot", registrar())
        for key, bucket in (("none.jsonl", account.site.aws["bucket"]), ("a.jsonl", "another-bucket")):
            task = iot.start_thing_registration_task(**order(key, inputFileBucket=bucket))["taskId"]
            told = self.ended(iot, task)
            self.assertEqual((told["status"], told["successCount"]), ("Failed", 0))
            self.assertIn("s3", told["message"])

    def test_a_start_that_cannot_go_well_is_refused_at_once(self):
        iot, admin, aws = client("iot", registrar()), client("iot", administrator()), account.site.aws
        key = self.put(lines({"SerialNumber": "never", "Site": "n"}))
        start = lambda who, **more: who.start_thing_registration_task(**order(key, **more))
        self.assert_code(
            403, "AccessDeniedException", "iam:PassRole", lambda: start(iot, roleArn=aws["installerRole"])
        )
        invalid = admin.exceptions.InvalidRequestException
        self.assert_refused(invalid, "assume", lambda: start(admin, roleArn=aws["installerRole"]))
        self.assert_refused(invalid, "template", lambda: start(iot, templateBody="{"))
        for who in (by_cognito("anna")[0], by_cognito("sam")[0]):
            self.assert_code(
                403,
                "AccessDeniedException",
                "iot:StartThingRegistrationTask",
                lambda: start(client("iot", who)),
            )
        unknown = str(uuid.uuid4())
        missing = iot.exceptions.ResourceNotFoundException
        self.assert_refused(missing, unknown, lambda: iot.describe_thing_registration_task(taskId=unknown))
        self.assert_refused(missing, unknown, lambda: iot.stop_thing_registration_task(taskId=unknown))


class Registrar(Case):
    def test_the_role_is_for_the_person_that_its_trust_names(self):
        role = account.site.aws["registrarRole"]
        for other in ("anna", "sam"):
            self.assert_code(403, "AccessDenied", "Not authorized", lambda: by_sts(other, RoleArn=role))
        self.assert_code(
            403, "AccessDenied", "Not authorized", lambda: by_sts("rita", RoleArn=account.site.aws["registrationRole"])
        )
        self.assert_code(
            403, "AccessDenied", "Not authorized", lambda: by_sts("rita", RoleArn=account.site.aws["installerRole"])
        )

    def test_an_identity_pool_gives_the_same_role(self):
        who = client("sts", by_cognito("rita")[0]).get_caller_identity()
        self.assertIn(":assumed-role/FieldkeyRegistrar/", who["Arn"])

    def test_a_registrar_touches_no_device_and_gets_no_claim(self):
        iot = client("iot", registrar())
        for action in (
            lambda: iot.create_provisioning_claim(templateName="FieldkeyTemplate"),
            lambda: iot.describe_thing(thingName="x"),
            lambda: iot.list_things(),
        ):
            self.assert_code(403, "AccessDeniedException", "is not authorized to perform: iot:", action)
        self.assertIn("taskIds", iot.list_thing_registration_tasks())


def iot_tasks(iot, status):
    return iot.list_thing_registration_tasks(status=status)["taskIds"]


if __name__ == "__main__":
    unittest.main()
