"""The AWS IoT Device SDK for Python (V2), behind one small class for both protocol versions."""

import uuid
from concurrent.futures import Future

from awscrt import mqtt, mqtt5
from awsiot import iotidentity, mqtt5_client_builder, mqtt_connection_builder, mqtt_request_response

LIMIT = 15
PROTOCOLS = ("3.1.1", "5")


class Device:
    """A connection with one certificate. `port` is passed, since the SDK's default is 443."""

    def __init__(self, protocol, endpoint, ca, certificate, key, client_id=None):
        self.protocol = protocol
        self.client_id = client_id or f"conformance-{uuid.uuid4()}"
        self.lost = Future()
        common = {
            "cert_bytes": certificate.encode(),
            "pri_key_bytes": key.encode(),
            "ca_bytes": ca.encode(),
            "endpoint": endpoint["host"],
            "port": endpoint["port"],
            "client_id": self.client_id,
        }
        if protocol == "5":
            self.connected, self.stopped = Future(), Future()
            self.client = mqtt5_client_builder.mtls_from_bytes(
                **common,
                on_lifecycle_connection_success=lambda data: settle(self.connected, data.negotiated_settings),
                on_lifecycle_connection_failure=lambda data: settle(self.connected, error=data.exception),
                on_lifecycle_disconnection=lambda data: settle(self.lost, data),
                on_lifecycle_stopped=lambda data: settle(self.stopped, data),
            )
        else:
            self.client = mqtt_connection_builder.mtls_from_bytes(
                **common,
                clean_session=True,
                keep_alive_secs=30,
                on_connection_interrupted=lambda connection, error, **_: settle(self.lost, error),
            )

    def __enter__(self):
        if self.protocol == "5":
            self.client.start()
            try:
                self.connected.result(LIMIT)
            except BaseException:
                self.client.stop()
                raise
        else:
            self.client.connect().result(LIMIT)
        return self

    def __exit__(self, *_):
        if self.protocol == "5":
            self.client.stop()
            self.stopped.result(LIMIT)
        else:
            self.client.disconnect().result(LIMIT)

    def identity(self):
        """The client for fleet provisioning. It takes no fewer than two subscriptions, one for each way of an answer."""
        options = mqtt_request_response.ClientOptions(
            max_request_response_subscriptions=2,
            max_streaming_subscriptions=1,
            operation_timeout_in_seconds=LIMIT,
        )
        return iotidentity.IotIdentityClientV2(self.client, options)

    def publish(self, topic, payload):
        """At least once; gives whether the server took it."""
        if self.protocol == "5":
            packet = mqtt5.PublishPacket(topic=topic, payload=payload, qos=mqtt5.QoS.AT_LEAST_ONCE)
            return self.client.publish(packet).result(LIMIT).puback.reason_code
        done, _ = self.client.publish(topic=topic, payload=payload, qos=mqtt.QoS.AT_LEAST_ONCE)
        done.result(LIMIT)
        return mqtt5.PubackReasonCode.SUCCESS


def settle(future, value=None, error=None):
    """The SDK tells some things more than once; the first counts."""
    if future.done():
        return
    if error is None:
        future.set_result(value)
    else:
        future.set_exception(error)
