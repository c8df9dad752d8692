"""Seals and opens with AWS's Encryption SDK for Python what it is told to on standard input, one JSON object; answers in JSON.

It knows of the emulator by AWS's own variables: endpoint, CA bundle, credentials.
"""

import base64
import json
import sys

import aws_encryption_sdk
from aws_encryption_sdk import Algorithm, CommitmentPolicy, StrictAwsKmsMasterKeyProvider

client = aws_encryption_sdk.EncryptionSDKClient(
    commitment_policy=CommitmentPolicy.REQUIRE_ENCRYPT_REQUIRE_DECRYPT, max_encrypted_data_keys=1
)
task = json.load(sys.stdin)
provider = StrictAwsKmsMasterKeyProvider(key_ids=[task["keyArn"]])


def seal(item):
    message, _ = client.encrypt(
        source=base64.b64decode(item["plaintext"]),
        key_provider=provider,
        encryption_context=item["context"],
        algorithm=getattr(Algorithm, item["algorithm"]),
        frame_length=item["frameBytes"],
    )
    return base64.b64encode(message).decode()


def unseal(message):
    plaintext, header = client.decrypt(source=base64.b64decode(message), key_provider=provider)
    return {"plaintext": base64.b64encode(plaintext).decode(), "context": header.encryption_context}


json.dump({"sealed": [seal(i) for i in task["seal"]], "opened": [unseal(m) for m in task["open"]]}, sys.stdout)
