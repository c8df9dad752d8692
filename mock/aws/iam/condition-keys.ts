/**
 * Which condition keys exist: the global ones, those of federation, and those of a service.
 *
 * A name that ends in `/` or `:` is a template: any text may follow (`aws:PrincipalTag/team`). Keys of other services
 * are unknown; those that AWS calls cross-service keys are among the global ones. Compared without case.
 *
 * Source: IAM User Guide, "AWS global condition context keys", "Available keys for AWS web identity federation",
 * "… for SAML-based federation"; Service Authorization Reference, AWS KMS, AWS STS.
 *
 * @module
 */

const words = (prefix: string, names: string): string[] =>
  names
    .trim()
    .split(/\s+/)
    .map((name) => `${prefix}:${name}`);
const numbers = (count: number): string => Array.from({ length: count }, (_, i) => i).join(" ");

const GLOBAL = [
  ...words(
    "aws",
    `AssumedRoot CalledVia CalledViaFirst CalledViaLast ChatbotSourceArn CurrentTime Ec2InstanceSourcePrivateIPv4
     Ec2InstanceSourceVpc EpochTime FederatedProvider MultiFactorAuthAge MultiFactorAuthPresent PrincipalAccount
     PrincipalArn PrincipalIsAWSService PrincipalOrgID PrincipalOrgPaths PrincipalServiceName
     PrincipalServiceNamesList PrincipalTag/ PrincipalType Referer RequestTag/ RequestedRegion ResourceAccount
     ResourceOrgID ResourceOrgPaths ResourceTag/ SecureTransport SignInSessionArn SourceAccount SourceArn
     SourceIdentity SourceIp SourceOrgID SourceOrgPaths SourceOwner SourceVpc SourceVpcArn SourceVpce TagKeys
     TokenIssueTime UserAgent ViaAWSService VpcSourceIp VpceAccount VpceOrgID VpceOrgPaths userid username`,
  ),
  ...["codebuild:BuildArn", "codebuild:ProjectArn", "ec2:RoleDelivery", "ec2:SourceInstanceArn"],
  ...["glue:CredentialIssuingService", "glue:RoleAssumedBy", "identitystore:UserId", "lambda:SourceFunctionArn"],
  ...["ssm:SourceInstanceArn", "saml:"],
];

const SERVICES: Readonly<Record<"kms" | "sts", readonly string[]>> = {
  kms: [
    ...words(
      "kms",
      `BypassPolicyLockoutSafetyCheck CallerAccount CustomerMasterKeySpec CustomerMasterKeyUsage DataKeyPairSpec
       EncryptionAlgorithm EncryptionContext: EncryptionContextKeys ExpirationModel GrantConstraintSourceArn
       GrantConstraintType GrantIsForAWSResource GrantOperations GranteePrincipal GranteeServicePrincipal
       KeyAgreementAlgorithm KeyOrigin KeySpec KeyUsage MacAlgorithm MessageType MultiRegion MultiRegionKeyType
       PrimaryRegion ReEncryptOnSameKey ReplicaRegion RequestAlias ResourceAliases RetiringPrincipal
       RetiringServicePrincipal RotationPeriodInDays ScheduleKeyDeletionPendingWindowInDays SigningAlgorithm
       TrailingDaysWithoutKeyUsage ValidTo ViaService WrappingAlgorithm WrappingKeySpec`,
    ),
    "kms:RecipientAttestation:ImageSha384",
    ...words("kms:RecipientAttestation", numbers(32)).map((key) => key.replace(/(\d+)$/, "PCR$1")),
    ...words("kms:RecipientAttestation", numbers(24)).map((key) => key.replace(/(\d+)$/, "NitroTPMPCR$1")),
  ],
  sts: words(
    "sts",
    `AWSServiceName DurationSeconds ExternalId RequestContext/ RequestContextProviders RoleSessionName SourceIdentity
     TaskPolicyArn TransitiveTagKeys`,
  ),
};

/** `cognito-identity.amazonaws.com:aud`, `oidc.example.com/id/ABC:sub`. */
const PROVIDER_CLAIM = /^[a-z0-9-]+(?:\.[a-z0-9-]+)+(?:\/[^:\s]*)?:[a-z0-9_-]+$/;

/** Tells the known keys of one service's policies. */
export function knownConditionKeys(service: "kms" | "sts"): (key: string) => boolean {
  const known = [...GLOBAL, ...SERVICES[service]].map((key) => key.toLowerCase());
  const names = new Set(known);
  const templates = known.filter((key) => /[/:]$/.test(key));
  return (key) => {
    const folded = key.toLowerCase();
    return (
      (names.has(folded) && !templates.includes(folded)) ||
      templates.some((template) => folded.startsWith(template) && folded.length > template.length) ||
      PROVIDER_CLAIM.test(folded)
    );
  };
}
