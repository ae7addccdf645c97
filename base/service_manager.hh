// The service manager's side of a daemon: systemd with Type=notify waits for "ready" before it starts what comes after,
// and knows an orderly end from a crash. Nothing happens where no service manager listens (sd_notify(3)).
#pragma once

namespace qanat::base {

void notify_ready();
void notify_stopping();

}  // namespace qanat::base
