// The commands of `qanat lab` that act on labs and their daemons: each prints and returns an exit status.
#pragma once

#include "tools/lab/lab_options.hh"

namespace qanat::lab {

int bring_lab_up(const Options& options);
int take_lab_down(const Options& options);
int show_labs(const Options& options);
int remove_garbage(const Options& options);
int run_on_node(const Options& options);  // becomes the command
// what: "kill" (-9), "restart", "pause" (SIGSTOP), "resume".
int act_on_daemon(const Options& options, const std::string& what);
int draw(const Options& options);

}  // namespace qanat::lab
