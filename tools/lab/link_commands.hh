// The commands of `qanat lab` and `qanat fault` that look at links and change what they do.
#pragma once

#include "tools/lab/lab_options.hh"

namespace qanat::lab {

// SPEC items change what a link does now, and leave the rest: `loss=5%`, `delay=40ms`, `down`, `up`.
int set_link(const Options& options);
// Back to what the topology says: one link, or all of them.
int clear_links(const Options& options);
int list_links(const Options& options);
int capture_link(const Options& options);

}  // namespace qanat::lab
