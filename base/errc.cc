#include "base/errc.hh"

#include <string>

namespace qanat::base {
namespace {

// Boost's base class has a destructor that is neither virtual nor hidden; ours is never deleted through it.
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wnon-virtual-dtor"
struct Category final : boost::system::error_category {
  const char* name() const noexcept override { return "qanat.base"; }
  std::string message(int value) const override {
    switch (static_cast<Errc>(value)) {
      case Errc::BadHex: return "not hexadecimal";
      case Errc::BadBase64: return "not base64";
      case Errc::TooLarge: return "larger than the limit";
      case Errc::BadUrl: return "not an http://, https:// or unix: address";
      case Errc::BadResponse: return "malformed HTTP answer";
      case Errc::Timeout: return "timed out";
      case Errc::Closed: return "closed by the peer";
      case Errc::Cancelled: return "cancelled";
      case Errc::BadCertificate: return "no usable certificate or key";
      case Errc::UntrustedPeer: return "peer's certificate is not trusted";
    }
    return "unknown error";
  }
};
#pragma GCC diagnostic pop

}  // namespace

const boost::system::error_category& error_category() noexcept {
  static const Category category;
  return category;
}

boost::system::error_code make_error_code(Errc e) noexcept { return {static_cast<int>(e), error_category()}; }

}  // namespace qanat::base
