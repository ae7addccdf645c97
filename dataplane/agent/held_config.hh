// HeldConfig: one configuration that was verified, with the signature that vouches for it and what it
// compiled to. Immutable and shared: the trial keeps up to three, the forwarder the newest snapshot.
#pragma once

#include <compare>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hh"

namespace qanat::fib {
class Snapshot;
}
namespace qanat::proto::v1 {
class ConfigDelta;
class NodeConfig;
}  // namespace qanat::proto::v1

namespace qanat::agent {

// Orders configurations: the epoch first, then the version.
struct ConfigVersion {
  std::uint64_t epoch = 0;
  std::uint64_t version = 0;
  constexpr auto operator<=>(const ConfigVersion&) const = default;
};
std::string to_string(ConfigVersion version);  // "epoch 2 version 17"

struct HeldConfig {
  std::shared_ptr<const proto::v1::NodeConfig> config;  // as signed: what deltas start from
  std::shared_ptr<const proto::v1::NodeConfig>
      effective;          // as compiled: after a rollback, what was denied since stays so
  std::string digest;     // 32 bytes, as signed
  std::string signature;  // 64 bytes
  std::shared_ptr<const fib::Snapshot> snapshot;

  ConfigVersion version() const;
};
using Held = std::shared_ptr<const HeldConfig>;

// What a configuration compiles to, or all that is wrong with it.
struct Compiled {
  std::shared_ptr<const fib::Snapshot> snapshot;
  std::vector<std::string> problems;
};
using Compile = std::function<Compiled(const proto::v1::NodeConfig&)>;

// The configuration as a signed full snapshot: whoever has the key may check it.
proto::v1::ConfigDelta snapshot_of(const HeldConfig& held);

// The file `config` in the state folder: the configuration in force and, while it is on trial or after it was
// rolled back, the other one. Frames of the control protocol (identifiers/proto/framing), each a signed full
// snapshot.
std::string serialize_stored(const HeldConfig& in_force, const HeldConfig* other);

struct StoredConfig {
  std::shared_ptr<const proto::v1::ConfigDelta> in_force;
  std::shared_ptr<const proto::v1::ConfigDelta> other;  // may be empty
};
// Total on any bytes; nothing is verified yet.
base::Result<StoredConfig> parse_stored(std::string_view bytes);

}  // namespace qanat::agent
