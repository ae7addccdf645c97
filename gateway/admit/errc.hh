// Errc: why a call is not let in. TooManyCalls is retryable; BudgetExceeded only after the budget is raised or calls
// in flight settle below their reservation; the others are terminal.
#pragma once

#include <boost/system/error_code.hpp>

namespace qanat::admit {

enum class Errc {
  MissingKey = 1,  // no "authorization: Bearer …"
  BadKey,          // not a key's form, unknown, or revoked: outsiders are not told which
  TooManyCalls,    // the key's calls in flight are at its limit
  BudgetExceeded,  // the reservation does not fit the key's, project's or tenant's budget
};

const boost::system::error_category& error_category() noexcept;
boost::system::error_code make_error_code(Errc e) noexcept;

}  // namespace qanat::admit

template <>
struct boost::system::is_error_code_enum<qanat::admit::Errc> : std::true_type {};
