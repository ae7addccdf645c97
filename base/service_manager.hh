// The service manager's side of a daemon: systemd with Type=notify waits for "ready" before it starts what comes after,
// and knows an orderly end from a crash; and it keeps open descriptors for the next process of the same service, so that
// an upgrade or a crash closes no listening socket and takes no device away. Nothing happens where no service manager
// listens (sd_notify(3), sd_listen_fds(3); the unit says FileDescriptorStoreMax=).
#pragma once

#include <string>

namespace qanat::base {

void notify_ready();
void notify_stopping();

// Hands a copy of `fd` over to be kept under `name` until the service is stopped for good. Names: printable, no ':', 255
// at most; one descriptor a name.
void keep_descriptor(int fd, const std::string& name);
// The descriptor that a former process of this service left under `name`, owned by the caller from now on; −1: none.
// It stays kept. Main thread.
int take_kept_descriptor(const std::string& name);
// What is kept under `name` is not wanted any more.
void forget_descriptor(const std::string& name);
// Closes and forgets all that a former process left and nobody took: a configuration that no longer has it.
void forget_untaken_descriptors();

}  // namespace qanat::base
