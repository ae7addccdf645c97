#include "gateway/admit/errc.hh"

#include <string>

namespace qanat::admit {
namespace {

// Boost's base class has a destructor that is neither virtual nor hidden; ours is never deleted through it.
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wnon-virtual-dtor"
struct Category final : boost::system::error_category {
  const char* name() const noexcept override { return "qanat.admit"; }
  std::string message(int code) const override {
    switch (static_cast<Errc>(code)) {
      case Errc::MissingKey: return "no API key given";
      case Errc::BadKey: return "the API key is not valid";
      case Errc::TooManyCalls: return "too many calls in flight with this key";
      case Errc::BudgetExceeded: return "the call may cost more than is left of the budget";
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

}  // namespace qanat::admit
