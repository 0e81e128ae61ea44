"""Reference pre-provisioning hook for Fieldkey: AWS IoT asks it before it registers a device.

Allows a device when the maker's list names its serial number, and when its claim was used for nothing else: the first
use binds a claim to one serial number and one certificate. A device that repeats the same request is allowed again,
since its first answer may have been lost.

Where all devices share one claim that is in their firmware (SHARED_CLAIM=yes), the claim tells nothing of the device, and
only the list counts.

Tables of DynamoDB, both with a string key:
  CLAIMS_TABLE   key "claim"; switch time to live on for the attribute "expires"
  DEVICES_TABLE  key "serial"; one item for each device that may be registered
"""

import os
import time

import boto3
from botocore.exceptions import ClientError

PARAMETER = "SerialNumber"
KEEP_SECONDS = 24 * 3600
SHARED_CLAIM = os.environ.get("SHARED_CLAIM") == "yes"

tables = boto3.resource("dynamodb")
claims = tables.Table(os.environ["CLAIMS_TABLE"])
devices = tables.Table(os.environ["DEVICES_TABLE"])


def handler(event, context):
    serial = event.get("parameters", {}).get(PARAMETER, "")
    claim = event.get("claimCertificateId", "")
    certificate = event.get("certificateId", "")
    if not (serial and claim and certificate):
        return refuse("incomplete", serial)
    if "Item" not in devices.get_item(Key={"serial": serial}, ConsistentRead=True):
        return refuse("unknown device", serial)
    if SHARED_CLAIM:
        return {"allowProvisioning": True}
    try:
        claims.put_item(
            Item={
                "claim": claim,
                "serial": serial,
                "certificate": certificate,
                "expires": int(time.time()) + KEEP_SECONDS,
            },
            ConditionExpression="attribute_not_exists(#claim) OR (#serial = :serial AND #certificate = :certificate)",
            ExpressionAttributeNames={"#claim": "claim", "#serial": "serial", "#certificate": "certificate"},
            ExpressionAttributeValues={":serial": serial, ":certificate": certificate},
        )
    except ClientError as error:
        if error.response["Error"]["Code"] == "ConditionalCheckFailedException":
            return refuse("claim used before", serial)
        raise
    return {"allowProvisioning": True}


def refuse(why, serial):
    print({"refused": why, "serial": serial})
    return {"allowProvisioning": False}
