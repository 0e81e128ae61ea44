import type { Advice, FaultCode } from './codes';

const say = (what: string, why: string, now: string): Advice => ({ what, why, now });

export const faults: Record<FaultCode, Advice> = {
  'not-advertising': say(
    'The device is not heard.',
    'It is set up already, connected elsewhere, out of reach, or its set-up window is over.',
    'Switch it off and on, stand within five metres, and try again.',
  ),
  'endpoint-missing': say(
    'The device does not offer what its protocol promises.',
    'Its firmware is of another kind, or this computer remembers an older firmware of it.',
    'Remove the device in the system’s Bluetooth settings, then try again; else check its firmware.',
  ),
  protocol: say(
    'The device gave an answer that makes no sense.',
    'Its firmware does not keep to the protocol.',
    'Switch it off and on and try again; if it stays so, report its model and firmware.',
  ),
  'pop-needed': say(
    'The device wants the code of its label.',
    'No label was scanned for it.',
    'Scan the label, or type the proof of possession that is printed on it.',
  ),
  'wrong-pop': say(
    'The device refused the code of the label.',
    'The label belongs to another device, or the code was mistyped.',
    'Scan the label on this very device, or type its proof of possession again.',
  ),
  'locked-out': say(
    'The device takes no more codes.',
    'Too many wrong proofs of possession were sent to it.',
    'Switch it off and on, then scan the right label.',
  ),
  unencrypted: say(
    'The device offers no encryption, so nothing secret was sent.',
    'Its firmware uses Security 0, which your organisation does not allow.',
    'Use firmware with Security 2, or ask the office to allow this for test devices.',
  ),
  unproven: say(
    'The device asks for no proof of possession, so nothing secret was sent.',
    'Its firmware was built without one; anybody near could stand between you and it.',
    'Use firmware with a proof of possession, or ask the office to allow this.',
  ),
  'nonce-reuse': say(
    'The device’s encryption has a known weakness, so nothing secret was sent.',
    'Its firmware reuses nonces (Security 2 before patch 1).',
    'Update its firmware, or ask the office to allow this.',
  ),
  downgraded: say(
    'The device offers less protection than is known of it, so nothing secret was sent.',
    'Its label or an earlier job knows it better protected: this is another device of its name, or somebody in between.',
    'Blink the device and compare it with the label. If its maker changed the firmware, ask the office.',
  ),
  'false-device': say(
    'This is not the device of the label.',
    'It could not show that it knows its own proof of possession.',
    'Blink the device, compare it with the label, and do not give it any password.',
  ),
  'unsupported-scheme': say(
    'The device wants a security scheme that Fieldkey does not know.',
    'Its firmware is newer than this Fieldkey.',
    'Update Fieldkey.',
  ),
  'identity-missing': say(
    'The device cannot prove who it is.',
    'Its firmware has no identity endpoint and your organisation wants one, or it proved itself before and does not now.',
    'Update its firmware, or ask the office.',
  ),
  'identity-forged': say(
    'The device’s proof of identity does not hold.',
    'It may be a forgery, or its key store is damaged.',
    'Do not install it. Put it aside and report its label.',
  ),
  'identity-unvouched': say(
    'Nobody vouches for this device’s identity.',
    'It proved a key, and neither the cloud nor a maker that the profile names knows whose key that is.',
    'Do not install it yet. Ask the office to register the device’s key, or to name its maker in the profile.',
  ),
  'maker-unknown': say(
    'No maker that your organisation names vouches for this device.',
    'The organisation profile does not name the device’s maker, or the device is a forgery.',
    'Do not install it yet. Ask the office to name its maker in the profile; if it does already, report the label.',
  ),
  'identity-unchecked': say(
    'The device’s proof of identity could not be checked.',
    'This computer was too busy, which says nothing of the device.',
    'Try again.',
  ),
  'laptop-date': say(
    'This laptop’s date is wrong.',
    'By it the device’s certificate is out of date, which says nothing of the device.',
    'Set date and time of this laptop, and begin again.',
  ),
  'unknown-device': say(
    'The maker’s list does not have this device.',
    'It is too new for the imported list, or not made for your organisation.',
    'Ask the office to import the maker’s list for this batch.',
  ),
  'clone-suspected': say(
    'The device holds another key than the maker registered for its serial number.',
    'It is a copy, or its main board was replaced.',
    'Do not install it. Put it aside and report it.',
  ),
  'label-mismatch': say(
    'The label is of another device.',
    'Labels were swapped, or the wrong one was scanned.',
    'Scan the label on this very device.',
  ),
  'owned-by-other': say(
    'The device belongs to another owner.',
    'It was commissioned by another organisation and not released.',
    'Ask support to transfer it.',
  ),
  'already-commissioned': say(
    'The device is commissioned already.',
    'The cloud shows an active identity for it.',
    'If this is a service visit, commission it again as one.',
  ),
  'enrols-itself': say(
    'The device enrols by itself, so it cannot be moved to another owner from here.',
    'Its old identity would stay valid at the owner before; only a claim from here can come after that is off.',
    'Have support move it in the cloud, then commission it as new.',
  ),
  'firmware-too-old': say(
    'The device’s firmware is too old.',
    'Your organisation set a lowest version for this model.',
    'Update the device’s firmware, then try again.',
  ),
  'serial-needed': say(
    'The device’s serial number is not known.',
    'Its label does not carry it and it cannot prove it.',
    'Scan a label that has the serial number, or load it with a file of labels.',
  ),
  'network-not-seen': say(
    'The device does not see the network.',
    'It is out of the device’s reach, on 5 GHz only, hidden, or spelled otherwise.',
    'Choose a network that the device sees, or mark this one as hidden.',
  ),
  'network-weak': say(
    'The device sees the network only weakly.',
    'The access point is far away or shielded at the device’s place.',
    'Move the device or the access point, choose another network, or go on all the same.',
  ),
  'network-enterprise': say(
    'The device sees the network as an enterprise network, which it cannot join.',
    'Such a network (IEEE 802.1X) wants a name and a password for everybody, or a certificate.',
    'Choose another network, or ask whoever runs this one for one with a passphrase.',
  ),
  'network-open': say(
    'The network is open where the device is, and you have a passphrase for it.',
    'Somebody may run another network of that name, or its protection was switched off.',
    'Ask whoever runs the network; choose another one, or go on all the same.',
  ),
  'scan-timeout': say(
    'The device’s network scan did not end.',
    'Its firmware hangs, for example because settings were applied before.',
    'Switch it off and on and try again.',
  ),
  'settings-refused': say(
    'The device refused the Wi-Fi settings.',
    'Often the passphrase is longer than its firmware takes.',
    'Check name and passphrase (at most 63 characters), then try again.',
  ),
  'settings-held': say(
    'The device holds Wi-Fi settings from an earlier try.',
    'Its firmware does not let them be taken back over Bluetooth.',
    'Switch it off and on; reset it as its maker says if it is not listed then. Then commission it again.',
  ),
  'power-cycle-needed': say(
    'The device cannot take other settings now.',
    'Its firmware (ESP-IDF 5.0 or older) must restart after a failed join.',
    'Switch it off and on, wait until it is listed again, then try again.',
  ),
  'credentials-unsupported': say(
    'The device cannot take a claim.',
    'It speaks plain Espressif provisioning without Fieldkey’s endpoints.',
    'Use firmware with the endpoints of DEVICE.md, or ask the office to allow Wi-Fi only.',
  ),
  'claim-refused': say(
    'The cloud gave no temporary credential.',
    'Your rights or the provisioning template do not allow it.',
    'If it is about rights or the template, ask the office; else try again.',
  ),
  'claim-expired': say(
    'The temporary credential expired before the device had it.',
    'The link was slow or broke several times.',
    'Stand closer to the device and try again; a fresh one is fetched.',
  ),
  'buffer-too-small': say(
    'The temporary credential does not fit into the device.',
    'Its firmware keeps too small a buffer.',
    'Update its firmware, or have the office use a smaller (EC) certificate.',
  ),
  'claim-rejected': say(
    'The device found the temporary credential unfit.',
    'It arrived damaged, or its firmware wants another kind.',
    'Try again with a fresh one; if it stays so, report its model and firmware.',
  ),
  'passphrase-needed': say(
    'The network is protected, and no passphrase was given.',
    'The device sees it as protected, so settings without a passphrase would be refused.',
    'Type the passphrase of the network.',
  ),
  'passphrase-invalid': say(
    'This is no passphrase of a Wi-Fi network.',
    'One has 8 to 63 characters. Nothing was sent to the device.',
    'Type the passphrase again.',
  ),
  'passphrase-refused': say(
    'The network refused the device.',
    'Most likely the passphrase is wrong; a filter at the access point looks the same.',
    'Type the passphrase again.',
  ),
  'network-not-found': say(
    'The device did not find the network.',
    'It is out of the device’s reach or on 5 GHz only.',
    'Choose a network that the device sees.',
  ),
  'join-timeout': say(
    'The device got no network address in time.',
    'The network hands out no addresses (DHCP), is too weak, or wants a log-in page.',
    'Check the access point, then try again.',
  ),
  'enrolment-refused': say(
    'The cloud refused the device.',
    'It is not on the allow-list, or the template forbids it.',
    'Ask the office about the allow-list and the template; nothing of this try is left behind.',
  ),
  'cloud-unreachable-from-device': say(
    'The device is on Wi-Fi but could not reach the cloud.',
    'A firewall, no Internet at this network, or a wrong endpoint.',
    'Check that this network reaches the Internet on port 8883, then try again.',
  ),
  'enrol-timeout': say(
    'The device did not enrol in time.',
    'It joined Wi-Fi or was about to; then neither it nor the cloud said anything.',
    'Wait a minute and resume: the cloud is asked again.',
  ),
  'not-seen-online': say(
    'The device is registered but was not seen online yet.',
    'It restarts, or its network broke after enrolment.',
    'Do not leave yet: check its power and network, then resume.',
  ),
  'credential-off': say(
    'The new identity of the device is switched off.',
    'Somebody or a rule in the cloud revoked it after the device was seen with it.',
    'Ask the office; the earlier identity was left as it was.',
  ),
  'active-credentials': say(
    'The device does not have exactly one active identity.',
    'An earlier identity could not be switched off, or the new one was.',
    'Resume; if it stays so, ask support.',
  ),
  'earlier-identity-off': say(
    'The device was not commissioned, and its earlier identity is off.',
    'On a change of owner the old identity goes first; then something stood in the way of the new one.',
    'The device stays offline until it is commissioned: settle what stood in the way, then start the transfer again.',
  ),
  'release-refused': say(
    'The device works but was not released to support.',
    'The cloud refused the last step.',
    'Resume; if it stays so, ask the office.',
  ),
  'signed-out': say(
    'Nobody is signed in.',
    'The sign-in has ended, was revoked, or never began.',
    'Sign in again, then resume.',
  ),
  'other-organisation': say(
    'This device was begun for another organisation.',
    'Only that organisation’s cloud can say what has become of it.',
    'Choose that organisation’s profile, then resume.',
  ),
  'organisation-unknown': say(
    'Nothing says for which organisation this device was begun.',
    'An older Fieldkey began it, which did not write that down.',
    'Say in the list of open devices that it belongs here, if it does; then resume.',
  ),
  superseded: say(
    'A later visit has commissioned this device.',
    'This earlier job was left open then, and is settled by it.',
    'There is nothing more to do.',
  ),
  'cloud-unreachable': say(
    'The cloud cannot be reached from this computer.',
    'No Internet here, or a proxy or certificate stands between.',
    'Check this computer’s connection, then try again.',
  ),
  'cloud-error': say(
    'The cloud answered with an error.',
    'Something is wrong there, or it is overloaded.',
    'Do what it says, if it says what to do. Else try again; if it stays so, ask the office and give them the code.',
  ),
  cancelled: say('Stopped.', 'You stopped it.', 'Commission the device again whenever you like.'),
  'cannot-blink': say(
    'This device cannot blink on demand.',
    'Its firmware has no light for it.',
    'Tell it by its label, or by its signal: it grows as you come closer.',
  ),
  unanswered: say(
    'Nobody answered the question in time.',
    'The device was given back so that it is free.',
    'Commission the device again and answer within three minutes.',
  ),
  journal: say(
    'The journal cannot be written, so nothing more was done.',
    'The disk is full or not writable.',
    'Free some space, then resume.',
  ),
  'link-lost': say(
    'The Bluetooth link to the device broke.',
    'It is at the edge of reach, lost power, or restarted.',
    'Stand within five metres and try again.',
  ),
  'device-refused': say(
    'The device refused a request.',
    'Its session may have ended.',
    'Try again; if it stays so, switch the device off and on.',
  ),
  'firmware-mismatch': say(
    'The device cannot do what its protocol asks for.',
    'Its firmware differs from what it announces.',
    'Check its firmware.',
  ),
  'pairing-needed': say(
    'The device wants to be paired first.',
    'Its firmware was built with forced link encryption.',
    'Pair it in the system’s Bluetooth settings, then try again.',
  ),
  'device-busy': say(
    'The device is busy.',
    'Another program talks to it, or an earlier request has not ended.',
    'Close other programs that use Bluetooth and try again.',
  ),
  'no-answer': say(
    'The device did not answer in time.',
    'It is far away, or busy with Wi-Fi.',
    'Stand within five metres and try again.',
  ),
  'out-of-reach': say(
    'The device is not in reach.',
    'It is too far away, switched off, or connected elsewhere.',
    'Stand within five metres, check its power, and try again.',
  ),
  'adapter-off': say(
    'Bluetooth is off.',
    'It was switched off in the system settings or by a switch on the computer.',
    'Switch Bluetooth on.',
  ),
  'no-adapter': say(
    'This computer has no Bluetooth adapter.',
    'There is none, it is unplugged, or it is blocked (rfkill).',
    'Plug one in, then check Bluetooth again.',
  ),
  'no-bluetooth-service': say(
    'The system’s Bluetooth service does not run.',
    'It was stopped or is not installed.',
    'Start it (on Linux: systemctl start bluetooth), then try again.',
  ),
  'no-bluetooth-permission': say(
    'Fieldkey may not use Bluetooth.',
    'The system’s privacy settings or rules do not allow it.',
    'Allow Bluetooth for Fieldkey in the system settings.',
  ),
  'stale-cache': say(
    'The device does not offer what it did before.',
    'Its firmware changed, or this computer remembers an older one.',
    'Remove the device in the system’s Bluetooth settings, then try again.',
  ),
  bluetooth: say(
    'Bluetooth failed.',
    'The system’s Bluetooth reported an error.',
    'Try again; if it stays so, switch Bluetooth off and on.',
  ),
};
