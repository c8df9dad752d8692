/** How the recordings are named. */
export function kms(test: string): string {
  return `tests/aws/services/kms/test_kms.py::TestKMS::test_${test}`;
}
export function dataKeys(test: string): string {
  return `tests/aws/services/kms/test_kms.py::TestKMSGenerateKeys::test_${test}`;
}
export function sts(group: "Integrations" | "AssumeRoleTagging", test: string): string {
  return `tests/aws/services/sts/test_sts.py::TestSTS${group}::test_${test}`;
}
