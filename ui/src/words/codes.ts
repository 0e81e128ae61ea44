/** Every code that a fault can have; a test holds this list against `commission::fault`. */
export const FAULT_CODES = [
  'not-advertising',
  'endpoint-missing',
  'protocol',
  'pop-needed',
  'wrong-pop',
  'locked-out',
  'unencrypted',
  'unproven',
  'nonce-reuse',
  'false-device',
  'unsupported-scheme',
  'identity-missing',
  'identity-forged',
  'maker-unknown',
  'identity-unchecked',
  'unknown-device',
  'clone-suspected',
  'label-mismatch',
  'owned-by-other',
  'already-commissioned',
  'firmware-too-old',
  'serial-needed',
  'network-not-seen',
  'network-weak',
  'scan-timeout',
  'settings-refused',
  'settings-held',
  'power-cycle-needed',
  'credentials-unsupported',
  'claim-refused',
  'claim-expired',
  'buffer-too-small',
  'claim-rejected',
  'passphrase-needed',
  'passphrase-invalid',
  'passphrase-refused',
  'network-not-found',
  'join-timeout',
  'enrolment-refused',
  'cloud-unreachable-from-device',
  'enrol-timeout',
  'not-seen-online',
  'credential-off',
  'active-credentials',
  'earlier-identity-off',
  'release-refused',
  'signed-out',
  'cloud-unreachable',
  'cloud-error',
  'cancelled',
  'unanswered',
  'cannot-blink',
  'journal',
  'link-lost',
  'device-refused',
  'firmware-mismatch',
  'pairing-needed',
  'device-busy',
  'no-answer',
  'out-of-reach',
  'adapter-off',
  'no-adapter',
  'no-bluetooth-service',
  'no-bluetooth-permission',
  'stale-cache',
  'bluetooth',
] as const;

export type FaultCode = (typeof FAULT_CODES)[number];

/** Every further code that a sign-in can end with; a test holds this list against `engine::signin`. */
export const SIGN_IN_CODES = [
  'sign-in-ended',
  'sign-in-denied',
  'sign-in-cancelled',
  'sign-in-timed-out',
  'issuer-unreachable',
  'issuer-broken',
  'issuer-lacks',
  'client-unknown',
  'issuer-refused',
  'issuer-nonsense',
  'identity-token',
  'clock-wrong',
  'no-listener',
  'keyring',
] as const;

export type SignInCode = (typeof SIGN_IN_CODES)[number];

/** Every further code of a notice; a test holds this list against `engine::desk`. */
export const NOTICE_CODES = [
  'blinked',
  'busy',
  'entropy',
  'home',
  'in-use',
  'label',
  'label-not-in-range',
  'label-of-another',
  'label-without-name',
  'labels',
  'labels-read',
  'network',
  'no-order',
  'not-heard',
  'not-ready',
  'profile',
  'profile-imported',
  'settings',
  'simulated',
] as const;

export type NoticeCode = (typeof NOTICE_CODES)[number];

/** What happened, why that is likely, what to do now. */
export interface Advice {
  what: string;
  why: string;
  now: string;
}
