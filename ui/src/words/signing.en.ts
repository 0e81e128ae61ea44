import type { Advice, SignInCode } from './codes';

const say = (what: string, why: string, now: string): Advice => ({ what, why, now });

/** What a sign-in ended with; the issuer's own words stand small below. */
export const signing: Record<SignInCode, Advice> = {
  'sign-in-ended': say(
    'Your sign-in has ended.',
    'It ran out, was revoked, or was used on another computer.',
    'Sign in again.',
  ),
  'sign-in-elsewhere': say(
    'You are signed in for another place.',
    'This organisation’s sign-in service is the same, but the tokens would go elsewhere, and nobody has allowed that.',
    'Sign in again if you trust this profile; else ask the office.',
  ),
  'sign-in-denied': say(
    'The sign-in was refused.',
    'You or a rule of your organisation said no on its page.',
    'Sign in again and allow it; else ask the office whether this account may.',
  ),
  'sign-in-cancelled': say('The sign-in was stopped.', 'You stopped it.', 'Sign in again when you like.'),
  'sign-in-timed-out': say(
    'Nobody finished the sign-in in time.',
    'The page or the code is good for a few minutes only.',
    'Start the sign-in again.',
  ),
  'issuer-unreachable': say(
    'The sign-in service does not answer.',
    'No internet here, or a proxy or firewall stands between.',
    'Check this computer’s connection, then sign in again.',
  ),
  'issuer-broken': say(
    'The sign-in service is not what the profile says.',
    'Its address in the profile is wrong, or the service is set up wrongly.',
    'Ask the office for a corrected organisation profile.',
  ),
  'issuer-lacks': say(
    'The sign-in service lacks what Fieldkey needs.',
    'It is set up without this way of signing in.',
    'Sign in the other way; else show this to the office.',
  ),
  'client-unknown': say(
    'The sign-in service does not know Fieldkey.',
    'The client id in the profile is wrong, or was removed.',
    'Ask the office for a corrected organisation profile.',
  ),
  'issuer-refused': say(
    'The sign-in service refused.',
    'Your account or the profile is not set up for this.',
    'Show the code below to the office.',
  ),
  'issuer-nonsense': say(
    'The sign-in service gave an answer that makes no sense.',
    'It is out of order, or something between changes what it says.',
    'Sign in again; if it stays so, show this to the office.',
  ),
  'identity-token': say(
    'It is not certain who signed in.',
    'The service’s statement about you does not hold.',
    'Sign in again; if it stays so, show this to the office.',
  ),
  'clock-wrong': say(
    'This computer’s clock is wrong.',
    'By it, the sign-in is over already or not yet valid.',
    'Set date and time, best to automatic, then sign in again.',
  ),
  'no-listener': say(
    'The browser’s answer cannot be received on this computer.',
    'Another program or a firewall holds the way back.',
    'Sign in with a code instead.',
  ),
  keyring: say(
    'The keyring does not give the sign-in, or does not let it go.',
    'It is locked, or it has failed.',
    'Unlock the keyring and try again.',
  ),
};
