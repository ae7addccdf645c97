// Errc: why a frame, an envelope or a configuration delta was refused.
// All are terminal for the bytes at hand; StaleBase alone is mended by asking for a full snapshot.
#pragma once

#include <boost/system/error_code.hpp>

namespace qanat::proto {

enum class Errc {
  FrameTooLarge = 1,  // the announced length is over the limit; nothing was allocated for it
  FrameEmpty,         // a length of zero carries no message
  MalformedEnvelope,  // not a protobuf Envelope, or one without a body
  StaleBase,          // the delta starts from a version that is not held: ask for a snapshot
  VersionRegressed,   // (epoch, version) is lower than what is held
  MalformedDelta,     // impossible versions, or a row without its key
  DeniedShrunk,       // a denied headend disappeared within an epoch
  WrongNode,          // a configuration made for another node
  DigestMismatch,     // the result of applying is not what was signed
  BadSignature,       // not signed by the configuration key
};

const boost::system::error_category& proto_category() noexcept;
boost::system::error_code make_error_code(Errc e) noexcept;

}  // namespace qanat::proto

template <>
struct boost::system::is_error_code_enum<qanat::proto::Errc> : std::true_type {};
