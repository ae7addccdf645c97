#include "dataplane/agent/held_config.hh"

#include <boost/system/errc.hpp>

#include "identifiers/proto/errc.hh"
#include "identifiers/proto/framing.hh"
#include "identifiers/proto/southbound.pb.h"

namespace qanat::agent {
namespace {

std::string frame_of(const HeldConfig& held) {
  proto::v1::Envelope envelope;
  *envelope.mutable_delta() = snapshot_of(held);
  return proto::encode_frame(envelope);
}

}  // namespace

std::string to_string(ConfigVersion version) {
  return "epoch " + std::to_string(version.epoch) + " version " + std::to_string(version.version);
}

proto::v1::ConfigDelta snapshot_of(const HeldConfig& held) {
  proto::v1::ConfigDelta delta;
  delta.set_epoch(held.config->epoch());
  delta.set_to_version(held.config->version());
  *delta.mutable_upserts() = *held.config;
  delta.set_digest(held.digest);
  delta.set_signature(held.signature);
  return delta;
}

ConfigVersion HeldConfig::version() const { return {config->epoch(), config->version()}; }

std::string serialize_stored(const HeldConfig& in_force, const HeldConfig* other) {
  return frame_of(in_force) + (other ? frame_of(*other) : std::string());
}

base::Result<StoredConfig> parse_stored(std::string_view bytes) {
  proto::FrameDecoder decoder(proto::kMaxBody);
  decoder.feed(bytes);
  StoredConfig stored;
  for (auto* slot : {&stored.in_force, &stored.other}) {
    auto body = decoder.next();
    if (!body) return body.error();
    if (!*body) break;
    auto envelope = proto::parse_envelope(**body);
    if (!envelope) return envelope.error();
    if (!envelope->has_delta() || envelope->delta().from_version() != 0) return proto::Errc::MalformedDelta;
    *slot = std::make_shared<const proto::v1::ConfigDelta>(std::move(*envelope->mutable_delta()));
  }
  if (!stored.in_force || !decoder.at_boundary()) return proto::Errc::MalformedEnvelope;
  return stored;
}

}  // namespace qanat::agent
