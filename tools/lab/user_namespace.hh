// Labs without root: the user's own user namespace, in which the user is root over networks that only they see.
// One keeper process holds it (and a mount namespace with a /run of its own, so that labs look as they always do);
// every `qanat lab` command of that user enters it first. It ends with the last lab.
#pragma once

namespace qanat::lab {

// Enters it, making it if need be; call before any thread exists. Throws LabError that says what the system does not
// allow. Nothing to do for root, unless `always`.
void enter_user_namespace(bool always);
// Ends the keeper when no lab is left; a command's last act.
void leave_user_namespace();

}  // namespace qanat::lab
