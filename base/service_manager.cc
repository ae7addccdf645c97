#include "base/service_manager.hh"

#include <systemd/sd-daemon.h>

namespace qanat::base {

void notify_ready() { sd_notify(0, "READY=1"); }
void notify_stopping() { sd_notify(0, "STOPPING=1"); }

}  // namespace qanat::base
