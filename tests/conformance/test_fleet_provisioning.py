"""A device built on the AWS IoT Device SDK, which nobody here wrote, enrols at the sandbox with a claim of its broker.

What is shown: fleet provisioning by trusted user as the AWS IoT developer guide has it, over MQTT 3.1.1 and 5, with
both ways to a key, and each refusal as the SDK's own typed error. CBOR is not shown here, since the SDK knows only JSON.
"""

import json
import tempfile
import unittest

from awscrt import mqtt, mqtt5
from awsiot import V2ServiceException, iotidentity
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from sandbox import Sandbox
from sdk import LIMIT, PROTOCOLS, Device

ENROLLED = {"cloud-reached", "identity-issued", "registered", "online", "data-seen"}


def setUpModule():
    global folder, site, installer
    folder = tempfile.TemporaryDirectory(prefix="fieldkey-conformance-")
    site = Sandbox(folder.name)
    installer = site.sign_in("anna")


def tearDownModule():
    code = site.interrupt()
    left = site.folder / "status.json"
    gone = not left.exists()
    folder.cleanup()
    if code != 0 or not gone:
        raise AssertionError(f"after Ctrl-C the sandbox ended with {code}; its status file is gone: {gone}")


def with_claim(protocol, claim):
    """A connection with the claim's certificate, to where the claim says, trusting whom the claim says."""
    return Device(protocol, claim["endpoint"], claim["caPem"], claim["certificatePem"], claim["privateKeyPem"])


def keys_from_the_cloud(identity):
    made = identity.create_keys_and_certificate(iotidentity.CreateKeysAndCertificateRequest()).result(LIMIT)
    return made, made.private_key


def keys_of_its_own(identity):
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "conformance")])
    request = x509.CertificateSigningRequestBuilder().subject_name(name).sign(key, hashes.SHA256())
    request = request.public_bytes(serialization.Encoding.PEM).decode()
    made = identity.create_certificate_from_csr(
        iotidentity.CreateCertificateFromCsrRequest(certificate_signing_request=request)
    ).result(LIMIT)
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    public = x509.load_pem_x509_certificate(made.certificate_pem.encode()).public_key()
    if public != key.public_key():
        raise AssertionError("the certificate is for another key than the one that signed the request")
    return made, private.decode()


def register(identity, claim, token, template=None, parameters=None):
    request = iotidentity.RegisterThingRequest(
        template_name=template or claim["templateName"],
        certificate_ownership_token=token,
        parameters=claim["parameters"] if parameters is None else parameters,
    )
    return identity.register_thing(request).result(LIMIT)


class Enrolment(unittest.TestCase):
    def enrol(self, protocol, make):
        serial = site.fresh_serial()
        claim = site.claim(installer, serial)
        with with_claim(protocol, claim) as device:
            identity = device.identity()
            made, key = make(identity)
            registered = register(identity, claim, made.certificate_ownership_token)
        topic = registered.device_configuration["dataTopic"]
        permanent = Device(
            protocol, claim["endpoint"], claim["caPem"], made.certificate_pem, key, registered.thing_name
        )
        with permanent as device:
            taken = device.publish(topic, json.dumps({"conformance": True}))
            self.assertEqual(taken, mqtt5.PubackReasonCode.SUCCESS)
            news, seen = site.events(installer, claim, ENROLLED)
            self.assertEqual(news["state"], "used")
            thing = news["thing"]
            self.assertEqual(thing["name"], registered.thing_name)
            self.assertEqual(thing["principals"], [{"id": made.certificate_id, "status": "ACTIVE"}])
            self.assertTrue(thing["connected"])
            self.assertEqual(thing["connectedPrincipal"], made.certificate_id)
            self.assertNotEqual(made.certificate_id, claim["certificateId"])
            self.assertEqual(thing["name"], serial)
            self.assertNotIn("refused", {event["kind"] for event in seen})
        news, _ = site.events(installer, claim, ENROLLED | {"offline"})
        self.assertFalse(news["thing"]["connected"])

    def test_a_device_enrols_with_a_key_that_the_cloud_makes(self):
        for protocol in PROTOCOLS:
            with self.subTest(mqtt=protocol):
                self.enrol(protocol, keys_from_the_cloud)

    def test_a_device_enrols_with_a_key_of_its_own(self):
        for protocol in PROTOCOLS:
            with self.subTest(mqtt=protocol):
                self.enrol(protocol, keys_of_its_own)


class Refusals(unittest.TestCase):
    def assert_refused(self, status, code, action):
        with self.assertRaises(V2ServiceException) as caught:
            action()
        error = caught.exception.modeled_error
        self.assertIsNotNone(error, caught.exception)
        self.assertEqual((error.status_code, error.error_code), (status, code))
        self.assertTrue(error.error_message)

    def test_a_wrong_ownership_token_is_refused_and_the_right_one_still_works(self):
        for protocol in PROTOCOLS:
            with self.subTest(mqtt=protocol):
                claim = site.claim(installer, site.fresh_serial())
                with with_claim(protocol, claim) as device:
                    identity = device.identity()
                    made, _ = keys_from_the_cloud(identity)
                    for token in ("", "no-token-of-yours"):
                        self.assert_refused(
                            400, "InvalidCertificateOwnershipToken", lambda: register(identity, claim, token)
                        )
                    register(identity, claim, made.certificate_ownership_token)

    def test_a_claim_registers_only_the_serial_it_was_issued_for(self):
        for protocol in PROTOCOLS:
            with self.subTest(mqtt=protocol):
                serial, other = site.fresh_serial(), site.fresh_serial()
                claim = site.claim(installer, serial)
                with with_claim(protocol, claim) as device:
                    identity = device.identity()
                    made, _ = keys_from_the_cloud(identity)
                    wrong = {**claim["parameters"], "SerialNumber": other}
                    self.assert_refused(
                        403,
                        "AccessDenied",
                        lambda: register(identity, claim, made.certificate_ownership_token, parameters=wrong),
                    )
                _, seen = site.events(installer, claim, {"refused"})
                self.assertEqual([event["code"] for event in seen if event["kind"] == "refused"], ["AccessDenied"])
                _, known = site.call(installer, "GET", f"/v1/devices/{other}")
                self.assertNotIn("thing", known)

    def test_a_claim_registers_once(self):
        for protocol in PROTOCOLS:
            with self.subTest(mqtt=protocol):
                claim = site.claim(installer, site.fresh_serial())
                with with_claim(protocol, claim) as device:
                    identity = device.identity()
                    first, _ = keys_from_the_cloud(identity)
                    second, _ = keys_of_its_own(identity)
                    register(identity, claim, first.certificate_ownership_token)
                    self.assert_refused(
                        403, "AccessDenied", lambda: register(identity, claim, second.certificate_ownership_token)
                    )
                _, known = site.call(installer, "GET", f"/v1/devices/{claim['parameters']['SerialNumber']}")
                active = [one["id"] for one in known["thing"]["principals"] if one["status"] == "ACTIVE"]
                self.assertEqual(active, [first.certificate_id])

    def test_a_request_that_is_no_signing_request_is_refused(self):
        claim = site.claim(installer, site.fresh_serial())
        with with_claim("5", claim) as device:
            wrong = iotidentity.CreateCertificateFromCsrRequest(certificate_signing_request="not a request")
            identity = device.identity()
            self.assert_refused(
                400,
                "InvalidCertificateSigningRequest",
                lambda: identity.create_certificate_from_csr(wrong).result(LIMIT),
            )

    def test_a_claim_is_confined_to_its_own_template(self):
        for protocol in PROTOCOLS:
            with self.subTest(mqtt=protocol):
                claim = site.claim(installer, site.fresh_serial())
                with with_claim(protocol, claim) as device:
                    identity = device.identity()
                    made, _ = keys_from_the_cloud(identity)
                    # AWS IoT does not answer there: the subscription itself is refused, or the connection closed.
                    with self.assertRaises(V2ServiceException) as caught:
                        register(identity, claim, made.certificate_ownership_token, template="AnotherTemplate")
                    self.assertIsNone(caught.exception.modeled_error)
                _, seen = site.events(installer, claim, {"refused"})
                self.assertIn("TopicForbidden", [event.get("code") for event in seen])

    def test_a_claim_speaks_on_no_topic_of_a_device(self):
        for protocol in PROTOCOLS:
            with self.subTest(mqtt=protocol):
                claim = site.claim(installer, site.fresh_serial())
                topic = f"dt/{claim['parameters']['SerialNumber']}/state"
                with with_claim(protocol, claim) as device:
                    if protocol == "5":
                        self.assertEqual(device.publish(topic, "{}"), mqtt5.PubackReasonCode.NOT_AUTHORIZED)
                    else:
                        # 3.1.1 has no word for it: the connection is closed, and the SDK sends the message again.
                        device.client.publish(topic=topic, payload="{}", qos=mqtt.QoS.AT_LEAST_ONCE)
                        device.lost.result(LIMIT)
                _, seen = site.events(installer, claim, {"refused"})
                self.assertIn("TopicForbidden", [event.get("code") for event in seen])


if __name__ == "__main__":
    unittest.main()
