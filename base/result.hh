// Result<T>: what a function returns when its input may be malformed or hostile.
// Errors are std/boost error_codes of the room's own category; nothing here throws.
#pragma once

#include <boost/system/result.hpp>

namespace qanat::base {

template <class T>
using Result = boost::system::result<T>;

}  // namespace qanat::base
