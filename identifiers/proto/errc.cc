#include "identifiers/proto/errc.hh"

namespace qanat::proto {
namespace {

// Boost's base class has a destructor that is neither virtual nor hidden; ours is never deleted through it.
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wnon-virtual-dtor"
class Category final : public boost::system::error_category {
 public:
  const char* name() const noexcept override { return "qanat.proto"; }
  std::string message(int value) const override {
    switch (static_cast<Errc>(value)) {
      case Errc::FrameTooLarge: return "frame is longer than this connection allows";
      case Errc::FrameEmpty: return "frame of length zero";
      case Errc::MalformedEnvelope: return "frame does not hold a control message";
      case Errc::StaleBase: return "delta starts from a version that is not held";
      case Errc::VersionRegressed: return "configuration is older than the one held";
      case Errc::MalformedDelta: return "delta has impossible versions or a row without its key";
      case Errc::DeniedShrunk: return "a denied headend disappeared within an epoch";
      case Errc::WrongNode: return "configuration was made for another node";
      case Errc::DigestMismatch: return "applied configuration differs from the signed digest";
      case Errc::BadSignature: return "configuration signature does not verify";
    }
    return "unknown control protocol error";
  }
};
#pragma GCC diagnostic pop

}  // namespace

const boost::system::error_category& proto_category() noexcept {
  static const Category category;
  return category;
}

boost::system::error_code make_error_code(Errc e) noexcept { return {static_cast<int>(e), proto_category()}; }

}  // namespace qanat::proto
