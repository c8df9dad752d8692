"""Drives an emulated KMS and STS with boto3, one family of operations after another.

Prints one JSON line for each family, {"family": ..., "failure": null or text}, and checks what comes back against the
cryptography package rather than against the emulator itself. The setting is one JSON object on standard input; the
rest comes as AWS's own variables (AWS_ENDPOINT_URL, AWS_CA_BUNDLE, AWS_ACCESS_KEY_ID, ...).
"""

import hashlib
import hmac
import json
import os
import sys
import traceback
from datetime import datetime, timedelta, timezone

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding

SETTING = json.load(sys.stdin)
ONCE = Config(retries={"total_max_attempts": 1})
SHA256 = hashes.SHA256()


def client(service, region="eu-central-1", credentials=None):
    given = {} if credentials is None else {
        "aws_access_key_id": credentials["AccessKeyId"],
        "aws_secret_access_key": credentials["SecretAccessKey"],
        "aws_session_token": credentials["SessionToken"],
    }
    return boto3.session.Session().client(service, region_name=region, config=ONCE, **given)


kms = client("kms")
sts = client("sts")


def equal(actual, expected):
    if actual != expected:
        raise AssertionError(f"expected {expected!r}, got {actual!r}")


def refused(error, call, **arguments):
    try:
        call(**arguments)
    except ClientError as refusal:
        equal(refusal.response["Error"]["Code"], error)
    else:
        raise AssertionError(f"expected {error}, and it was done")


def new_key(**arguments):
    return kms.create_key(**arguments)["KeyMetadata"]["Arn"]


def key_state(key):
    return kms.describe_key(KeyId=key)["KeyMetadata"]["KeyState"]


def public_key(key):
    return serialization.load_der_public_key(kms.get_public_key(KeyId=key)["PublicKey"])


def keys():
    made = kms.create_key(Description="one", Tags=[{"TagKey": "team", "TagValue": "blue"}])["KeyMetadata"]
    equal(made["Arn"], f"arn:aws:kms:eu-central-1:{SETTING['account']}:key/{made['KeyId']}")
    equal((made["KeyState"], made["KeySpec"], made["Origin"]), ("Enabled", "SYMMETRIC_DEFAULT", "AWS_KMS"))
    kms.update_key_description(KeyId=made["KeyId"], Description="two")
    equal(kms.describe_key(KeyId=made["Arn"])["KeyMetadata"]["Description"], "two")
    pages = kms.get_paginator("list_keys").paginate(PaginationConfig={"PageSize": 2})
    equal(made["KeyId"] in [key["KeyId"] for page in pages for key in page["Keys"]], True)
    kms.disable_key(KeyId=made["KeyId"])
    refused("DisabledException", kms.encrypt, KeyId=made["KeyId"], Plaintext=b"x")
    kms.enable_key(KeyId=made["KeyId"])
    equal(key_state(made["KeyId"]), "Enabled")
    refused("NotFoundException", kms.describe_key, KeyId="00000000-0000-4000-8000-000000000000")


def aliases():
    first, second = new_key(), new_key()
    kms.create_alias(AliasName="alias/boto3", TargetKeyId=first)
    blob = kms.encrypt(KeyId="alias/boto3", Plaintext=b"by alias")["CiphertextBlob"]
    kms.update_alias(AliasName="alias/boto3", TargetKeyId=second)
    listed = kms.list_aliases(KeyId=second)["Aliases"]
    equal([alias["AliasName"] for alias in listed], ["alias/boto3"])
    equal(kms.decrypt(CiphertextBlob=blob)["KeyId"], first)
    kms.delete_alias(AliasName="alias/boto3")
    refused("NotFoundException", kms.describe_key, KeyId="alias/boto3")


def tags():
    key = new_key()
    kms.tag_resource(KeyId=key, Tags=[{"TagKey": "a", "TagValue": "1"}, {"TagKey": "b", "TagValue": "2"}])
    kms.untag_resource(KeyId=key, TagKeys=["a"])
    equal(kms.list_resource_tags(KeyId=key)["Tags"], [{"TagKey": "b", "TagValue": "2"}])


def policies():
    key = new_key()
    policy = json.loads(kms.get_key_policy(KeyId=key)["Policy"])
    policy["Statement"].append({"Sid": "no", "Effect": "Deny", "Principal": "*", "Action": "kms:Encrypt", "Resource": "*"})
    kms.put_key_policy(KeyId=key, PolicyName="default", Policy=json.dumps(policy))
    equal(kms.list_key_policies(KeyId=key)["PolicyNames"], ["default"])
    equal(json.loads(kms.get_key_policy(KeyId=key, PolicyName="default")["Policy"])["Statement"][-1]["Sid"], "no")
    refused("AccessDeniedException", kms.encrypt, KeyId=key, Plaintext=b"x")
    locked = json.dumps({"Version": "2012-10-17", "Statement": policy["Statement"][-1:]})
    refused("MalformedPolicyDocumentException", kms.put_key_policy, KeyId=key, PolicyName="default", Policy=locked)


def grants():
    key = new_key()
    blob = kms.encrypt(KeyId=key, Plaintext=b"granted", EncryptionContext={"tenant": "7"})["CiphertextBlob"]
    worker = client("kms", credentials=assume("bare"))
    ask = {"CiphertextBlob": blob, "KeyId": key, "EncryptionContext": {"tenant": "7"}}
    refused("AccessDeniedException", worker.decrypt, **ask)
    grant = kms.create_grant(
        KeyId=key,
        GranteePrincipal=SETTING["bare"],
        Operations=["Decrypt", "RetireGrant"],
        Constraints={"EncryptionContextEquals": {"tenant": "7"}},
    )
    equal(worker.decrypt(**ask, GrantTokens=[grant["GrantToken"]])["Plaintext"], b"granted")
    equal([listed["GrantId"] for listed in kms.list_grants(KeyId=key)["Grants"]], [grant["GrantId"]])
    worker.retire_grant(KeyId=key, GrantId=grant["GrantId"])
    refused("AccessDeniedException", worker.decrypt, **ask)
    other = kms.create_grant(KeyId=key, GranteePrincipal=SETTING["bare"], Operations=["Encrypt"])
    kms.revoke_grant(KeyId=key, GrantId=other["GrantId"])
    equal(kms.list_grants(KeyId=key)["Grants"], [])


def encryption():
    key, other = new_key(), new_key()
    context = {"tenant": "7", "purpose": "test"}
    blob = kms.encrypt(KeyId=key, Plaintext=b"secret", EncryptionContext=context)["CiphertextBlob"]
    equal(kms.decrypt(CiphertextBlob=blob, EncryptionContext=context)["Plaintext"], b"secret")
    refused("InvalidCiphertextException", kms.decrypt, CiphertextBlob=blob)
    refused("IncorrectKeyException", kms.decrypt, CiphertextBlob=blob, EncryptionContext=context, KeyId=other)
    moved = kms.re_encrypt(CiphertextBlob=blob, SourceEncryptionContext=context, DestinationKeyId=other)
    equal((moved["SourceKeyId"], moved["KeyId"]), (key, other))
    equal(kms.decrypt(CiphertextBlob=moved["CiphertextBlob"], KeyId=other)["Plaintext"], b"secret")
    refused("ValidationException", kms.encrypt, KeyId=key, Plaintext=bytes(4097))
    refused("DryRunOperationException", kms.encrypt, KeyId=key, Plaintext=b"x", DryRun=True)
    rsa = new_key(KeySpec="RSA_2048", KeyUsage="ENCRYPT_DECRYPT")
    sealed = public_key(rsa).encrypt(b"by hand", padding.OAEP(padding.MGF1(SHA256), SHA256, None))
    opened = kms.decrypt(KeyId=rsa, CiphertextBlob=sealed, EncryptionAlgorithm="RSAES_OAEP_SHA_256")
    equal(opened["Plaintext"], b"by hand")


def data_keys():
    key = new_key()
    made = kms.generate_data_key(KeyId=key, KeySpec="AES_256")
    equal(len(made["Plaintext"]), 32)
    equal(kms.decrypt(CiphertextBlob=made["CiphertextBlob"])["Plaintext"], made["Plaintext"])
    hidden = kms.generate_data_key_without_plaintext(KeyId=key, NumberOfBytes=24)
    equal("Plaintext" in hidden, False)
    equal(len(kms.decrypt(CiphertextBlob=hidden["CiphertextBlob"])["Plaintext"]), 24)


def data_key_pairs():
    key = new_key()
    made = kms.generate_data_key_pair(KeyId=key, KeyPairSpec="ECC_NIST_P256")
    private = serialization.load_der_private_key(made["PrivateKeyPlaintext"], None)
    der = (serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    equal(private.public_key().public_bytes(*der), made["PublicKey"])
    equal(kms.decrypt(CiphertextBlob=made["PrivateKeyCiphertextBlob"])["Plaintext"], made["PrivateKeyPlaintext"])
    hidden = kms.generate_data_key_pair_without_plaintext(KeyId=key, KeyPairSpec="RSA_2048")
    equal(("PrivateKeyPlaintext" in hidden, hidden["KeyPairSpec"]), (False, "RSA_2048"))


def random():
    first, second = (kms.generate_random(NumberOfBytes=1024)["Plaintext"] for _ in range(2))
    equal((len(first), len(second), first == second), (1024, 1024, False))


def signatures():
    message = b"signed"
    pss = padding.PSS(padding.MGF1(SHA256), 32)
    for spec, algorithm, check in [
        ("RSA_2048", "RSASSA_PSS_SHA_256", lambda key, signature: key.verify(signature, message, pss, SHA256)),
        ("ECC_NIST_P256", "ECDSA_SHA_256", lambda key, signature: key.verify(signature, message, ec.ECDSA(SHA256))),
        ("ECC_NIST_EDWARDS25519", "ED25519_SHA_512", lambda key, signature: key.verify(signature, message)),
    ]:
        key = new_key(KeySpec=spec, KeyUsage="SIGN_VERIFY")
        ask = {"KeyId": key, "Message": message, "SigningAlgorithm": algorithm}
        signature = kms.sign(**ask)["Signature"]
        check(public_key(key), signature)
        equal(kms.verify(**ask, Signature=signature)["SignatureValid"], True)
        refused("KMSInvalidSignatureException", kms.verify, **{**ask, "Message": b"other"}, Signature=signature)


def macs():
    key = new_key(KeySpec="HMAC_256", KeyUsage="GENERATE_VERIFY_MAC", Origin="EXTERNAL")
    secret = os.urandom(32)
    import_material(key, secret)
    ask = {"KeyId": key, "Message": b"message", "MacAlgorithm": "HMAC_SHA_256"}
    mac = kms.generate_mac(**ask)["Mac"]
    equal(mac, hmac.new(secret, b"message", hashlib.sha256).digest())
    equal(kms.verify_mac(**ask, Mac=mac)["MacValid"], True)
    refused("KMSInvalidMacException", kms.verify_mac, **ask, Mac=bytes(32))


def agreement():
    key = new_key(KeySpec="ECC_NIST_P256", KeyUsage="KEY_AGREEMENT")
    mine = ec.generate_private_key(ec.SECP256R1())
    der = (serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    derived = kms.derive_shared_secret(
        KeyId=key, KeyAgreementAlgorithm="ECDH", PublicKey=mine.public_key().public_bytes(*der)
    )
    equal(derived["SharedSecret"], mine.exchange(ec.ECDH(), public_key(key)))


def import_material(key, material, **arguments):
    given = kms.get_parameters_for_import(KeyId=key, WrappingAlgorithm="RSAES_OAEP_SHA_256", WrappingKeySpec="RSA_2048")
    wrapping = serialization.load_der_public_key(given["PublicKey"])
    wrapped = wrapping.encrypt(material, padding.OAEP(padding.MGF1(SHA256), SHA256, None))
    kms.import_key_material(KeyId=key, ImportToken=given["ImportToken"], EncryptedKeyMaterial=wrapped, **{
        "ExpirationModel": "KEY_MATERIAL_DOES_NOT_EXPIRE", **arguments
    })


def imports():
    key, material = new_key(Origin="EXTERNAL"), os.urandom(32)
    equal(key_state(key), "PendingImport")
    import_material(key, material)
    blob = kms.encrypt(KeyId=key, Plaintext=b"imported")["CiphertextBlob"]
    kms.delete_imported_key_material(KeyId=key)
    refused("KMSInvalidStateException", kms.decrypt, CiphertextBlob=blob)
    refused("IncorrectKeyMaterialException", import_material, key=key, material=os.urandom(32))
    until = datetime.now(timezone.utc) + timedelta(days=2)
    import_material(key, material, ExpirationModel="KEY_MATERIAL_EXPIRES", ValidTo=until)
    equal(kms.decrypt(CiphertextBlob=blob)["Plaintext"], b"imported")
    equal(kms.describe_key(KeyId=key)["KeyMetadata"]["ExpirationModel"], "KEY_MATERIAL_EXPIRES")


def rotation():
    key = new_key()
    blob = kms.encrypt(KeyId=key, Plaintext=b"old")["CiphertextBlob"]
    kms.enable_key_rotation(KeyId=key, RotationPeriodInDays=100)
    status = kms.get_key_rotation_status(KeyId=key)
    equal((status["KeyRotationEnabled"], status["RotationPeriodInDays"]), (True, 100))
    kms.rotate_key_on_demand(KeyId=key)
    equal([done["RotationType"] for done in kms.list_key_rotations(KeyId=key)["Rotations"]], ["ON_DEMAND"])
    equal(kms.decrypt(CiphertextBlob=blob)["Plaintext"], b"old")
    kms.disable_key_rotation(KeyId=key)
    equal(kms.get_key_rotation_status(KeyId=key)["KeyRotationEnabled"], False)


def multi_region():
    key = new_key(MultiRegion=True)
    replica = kms.replicate_key(KeyId=key, ReplicaRegion="us-east-1")["ReplicaKeyMetadata"]["Arn"]
    equal(replica, key.replace("eu-central-1", "us-east-1"))
    there = client("kms", "us-east-1")
    blob = kms.encrypt(KeyId=key, Plaintext=b"related")["CiphertextBlob"]
    equal(there.decrypt(CiphertextBlob=blob, KeyId=replica)["Plaintext"], b"related")
    kms.update_primary_region(KeyId=key, PrimaryRegion="us-east-1")
    primary = there.describe_key(KeyId=replica)["KeyMetadata"]["MultiRegionConfiguration"]
    equal((primary["MultiRegionKeyType"], primary["PrimaryKey"]["Arn"]), ("PRIMARY", replica))


def deletion():
    key = new_key()
    planned = kms.schedule_key_deletion(KeyId=key, PendingWindowInDays=7)
    equal(round((planned["DeletionDate"] - datetime.now(timezone.utc)) / timedelta(days=1)), 7)
    refused("KMSInvalidStateException", kms.encrypt, KeyId=key, Plaintext=b"x")
    kms.cancel_key_deletion(KeyId=key)
    equal(key_state(key), "Disabled")


def key_stores():
    equal(kms.describe_custom_key_stores()["CustomKeyStores"], [])
    name = {"CustomKeyStoreName": "store", "KeyStorePassword": "kmsPswd1", "TrustAnchorCertificate": SETTING["certificate"]}
    unknown = {**name, "CloudHsmClusterId": "cluster-2a3b4cdefgh"}
    refused("CloudHsmClusterNotFoundException", kms.create_custom_key_store, **unknown)
    missing = {"CustomKeyStoreId": "cks-1234567890abcdef0"}
    for call in [
        kms.connect_custom_key_store,
        kms.disconnect_custom_key_store,
        kms.delete_custom_key_store,
        kms.describe_custom_key_stores,
    ]:
        refused("CustomKeyStoreNotFoundException", call, **missing)


def assume(role, **arguments):
    return sts.assume_role(RoleArn=SETTING[role], RoleSessionName="drive", **arguments)["Credentials"]


def arn_of(credentials):
    return client("sts", credentials=credentials).get_caller_identity()["Arn"]


def sessions():
    account = SETTING["account"]
    equal(sts.get_caller_identity()["Arn"], f"arn:aws:iam::{account}:user/alice")
    worker = assume("worker")
    equal(arn_of(worker), f"arn:aws:sts::{account}:assumed-role/worker/drive")
    equal(len(client("kms", credentials=worker).generate_random(NumberOfBytes=8)["Plaintext"]), 8)
    nothing = json.dumps({"Version": "2012-10-17", "Statement": [{"Effect": "Deny", "Action": "*", "Resource": "*"}]})
    narrowed = client("kms", credentials=assume("worker", Policy=nothing))
    refused("AccessDeniedException", narrowed.generate_random, NumberOfBytes=8)
    refused("AccessDenied", sts.assume_role, RoleArn=SETTING["web"], RoleSessionName="drive")
    session = sts.get_session_token(DurationSeconds=900)["Credentials"]
    equal(len(client("kms", credentials=session).list_keys(Limit=1)["Keys"]), 1)
    federated = sts.get_federation_token(Name="bob", Policy=SETTING["randomOnly"])["Credentials"]
    bob = client("kms", credentials=federated)
    equal(len(bob.generate_random(NumberOfBytes=8)["Plaintext"]), 8)
    refused("AccessDeniedException", bob.list_keys)
    ask = {"RoleArn": SETTING["web"], "RoleSessionName": "carol"}
    web = sts.assume_role_with_web_identity(**ask, WebIdentityToken=SETTING["token"])
    equal(web["SubjectFromWebIdentityToken"], "carol-1234")
    equal(arn_of(web["Credentials"]), f"arn:aws:sts::{account}:assumed-role/web/carol")
    refused("InvalidIdentityToken", sts.assume_role_with_web_identity, **ask, WebIdentityToken=SETTING["token"][:-8])


for family in [
    *[keys, aliases, tags, policies, grants, encryption, data_keys, data_key_pairs, random, signatures, macs, agreement],
    *[imports, rotation, multi_region, deletion, key_stores, sessions],
]:
    failure = None
    try:
        family()
    except Exception:
        failure = traceback.format_exc()
    print(json.dumps({"family": family.__name__, "failure": failure}), flush=True)
