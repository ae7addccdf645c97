// Tun steering: an eBPF program that the kernel runs to pick the queue of each packet a tenant sends, so that a flow's
// packets come up at the worker that owns its bucket. It computes packet::bucket_of from the raw headers.
#pragma once

#include "dataplane/io/fd.hh"

namespace qanat::io {

// Loads the program: queue = bucket mod `queues`, a power of two; with `urgent`, what asks for `critical` by its DSCP comes
// up at a queue of its own, `queues` further on. What it cannot see through (IPv6 extension headers) may come up at a wrong
// queue and is then handed over. Empty with errno set where the kernel does not permit it.
Fd load_bucket_steering(unsigned queues, bool urgent);

}  // namespace qanat::io
