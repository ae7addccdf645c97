// SnapshotCompiler: a configuration as the controller sends it (protobuf: text addresses, plain integers) → the fib's
// Snapshot. Every value is checked, and all problems are reported together; nothing is used in part.
#pragma once

#include "dataplane/agent/held_config.hh"

namespace qanat::agent {

// Pure; at most 64 problems are named, the rest counted.
Compiled compile_snapshot(const proto::v1::NodeConfig& config);

}  // namespace qanat::agent
